// What this build calls itself.
import packageJson from "../package.json" with { type: "json" };

/** The Kubernetes version whose API is served. */
export const KUBERNETES_VERSION = "v1.36.2";

/** `0.1.0 (abc1234)`. */
export const MINIK8S_VERSION = `${packageJson.version} (${process.env["MINIK8S_BUILD"] ?? "source"})`;

export async function runVersion(): Promise<number> {
  process.stdout.write(`minik8s ${MINIK8S_VERSION}, Kubernetes API ${KUBERNETES_VERSION}, Bun ${Bun.version}\n`);
  return 0;
}
