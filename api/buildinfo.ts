// Which Kubernetes this build is, as `/version` and the metrics of control plane and nodes say.

/** What `/version` says by default: upstream's release, with build metadata that version comparison ignores. */
export const VERSION: Readonly<Record<string, string>> = {
  major: "1", minor: "36", gitVersion: "v1.36.2+minik8s", gitCommit: "", gitTreeState: "clean",
  buildDate: "1970-01-01T00:00:00Z", goVersion: "bun", compiler: "bun", platform: `linux/${process.arch === "x64" ? "amd64" : process.arch}`,
};

const HELP = "[BETA] A metric with a constant '1' value labeled by major, minor, git version, git commit, git tree state, build date, Go version, and compiler from which Kubernetes was built, and platform on which it is running.";

/** `kubernetes_build_info` in Prometheus' text form. */
export function buildInfoMetric(): string {
  const labels = Object.entries(VERSION).map(([key, value]) => `${key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}=${JSON.stringify(value)}`).toSorted();
  return `# HELP kubernetes_build_info ${HELP}\n# TYPE kubernetes_build_info gauge\nkubernetes_build_info{${labels.join(",")}} 1\n`;
}
