// The sandbox image: one static executable that holds a pod's namespaces, carried in the binary so that no pull is needed.
// Getting it into a runtime is the runtime's.
import { buildImage } from "../image-tar.ts";
import { PAUSE_BASE64 } from "./binaries.ts";

export type PauseArchitecture = keyof typeof PAUSE_BASE64;

/** The running machine's architecture in the words of image manifests. */
export const hostArchitecture: PauseArchitecture = process.arch === "arm64" ? "arm64" : "amd64";

/** The executable itself. */
export function pauseBinary(architecture: PauseArchitecture = hostArchitecture): Uint8Array {
  return Buffer.from(PAUSE_BASE64[architecture], "base64");
}

/** The tag follows the content, so that a new executable is a new image. */
export function pauseImageName(architecture: PauseArchitecture = hostArchitecture): string {
  return `minik8s.io/pause:${new Bun.CryptoHasher("sha256").update(pauseBinary(architecture)).digest("hex").slice(0, 12)}`;
}

/** The image as an archive that every runtime imports. */
export function pauseImage(architecture: PauseArchitecture = hostArchitecture): Uint8Array {
  return buildImage({ name: pauseImageName(architecture), architecture, files: [{ path: "pause", content: pauseBinary(architecture), mode: 0o755 }], entrypoint: ["/pause"], user: "65535:65535" });
}
