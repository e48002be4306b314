// The pages of the node's HTTPS API that show what the kubelet knows.
import type { Page } from "../server/server.ts";
import type { Kubelet } from "./kubelet.ts";
import { cadvisorMetrics, kubeletMetrics, probeMetrics, resourceMetrics } from "./metrics.ts";
import { summary } from "./summary.ts";

/** By path, for `NodeServerOptions.pages`. */
export function kubeletPages(kubelet: Kubelet): Record<string, Page> {
  const { node, pods, prober, stats } = kubelet;
  const startedAtMs = Date.now() - process.uptime() * 1000;
  const figures = (): Parameters<typeof kubeletMetrics>[0] => {
    const observed = node.cache.uids().flatMap((uid) => node.cache.get(uid) ?? []);
    const containerStates: Record<string, number> = {};
    for (const { state } of observed.flatMap(({ containers }) => containers)) containerStates[state] = (containerStates[state] ?? 0) + 1;
    return { nodeName: node.nodeName, pods: pods.list(), containerStates, startedAtMs, sandboxes: observed.filter(({ sandboxes }) => sandboxes.some(({ state }) => state === "ready")).length };
  };
  return {
    "/configz": { type: "json", body: () => ({ kubeletconfig: configuration(kubelet) }) },
    "/stats/summary": { type: "json", body: async () => summary(await stats.sample(), node.nodeName) },
    "/metrics": { type: "text", body: () => kubeletMetrics(figures()) },
    "/metrics/resource": { type: "text", body: async () => resourceMetrics(await stats.sample()) },
    "/metrics/cadvisor": { type: "text", body: async () => cadvisorMetrics(await stats.sample()) },
    "/metrics/probes": { type: "text", body: () => probeMetrics(prober.counts()) },
  };
}

/** The fields of KubeletConfiguration that say how this node runs. */
function configuration({ node }: Kubelet): Record<string, unknown> {
  return {
    kind: "KubeletConfiguration", apiVersion: "kubelet.config.k8s.io/v1beta1",
    clusterDomain: node.clusterDomain, clusterDNS: [...node.clusterDns],
    maxPods: 110, cgroupsPerQOS: true, enableServer: true, port: 10250, readOnlyPort: 0,
    syncFrequency: "1m0s", fileCheckFrequency: "20s", nodeStatusUpdateFrequency: "10s", nodeStatusReportFrequency: "5m0s", nodeLeaseDurationSeconds: 40,
    imageMinimumGCAge: "2m0s", imageGCHighThresholdPercent: 85, imageGCLowThresholdPercent: 80,
    serializeImagePulls: false, maxParallelImagePulls: 5,
    containerLogMaxSize: "10Mi", containerLogMaxFiles: 5,
    evictionHard: { "memory.available": "100Mi", "nodefs.available": "10%", "nodefs.inodesFree": "5%", "imagefs.available": "15%", "imagefs.inodesFree": "5%" },
    authentication: { anonymous: { enabled: false }, webhook: { enabled: true } }, authorization: { mode: "Webhook" },
    rotateCertificates: true, serverTLSBootstrap: true, streamingConnectionIdleTimeout: "4h0m0s", logging: { format: "json" },
  };
}
