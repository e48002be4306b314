// The pages of the node's HTTPS API that show what the kubelet knows.
import { buildInfoMetric } from "../../api/buildinfo.ts";
import type { Page } from "../server/server.ts";
import { cadvisorMetrics } from "./cadvisor.ts";
import type { Kubelet } from "./kubelet.ts";
import { kubeletMetrics, probeMetrics, resourceMetrics, volumeMetrics, heldVolumeMetrics } from "./metrics.ts";
import { summary } from "./summary.ts";
import { claimFigures } from "./volumestats.ts";

/** By path, for `NodeServerOptions.pages`. */
export function kubeletPages(kubelet: Kubelet, certificates: () => string): Record<string, Page> {
  const { node, pods, prober, stats, details } = kubelet;
  const startedAtMs = Date.now() - process.uptime() * 1000;
  const figures = (): Parameters<typeof kubeletMetrics>[0] => {
    const observed = node.cache.uids().flatMap((uid) => node.cache.get(uid) ?? []);
    const containerStates: Record<string, number> = {};
    for (const { state } of observed.flatMap(({ containers }) => containers)) containerStates[state] = (containerStates[state] ?? 0) + 1;
    return { nodeName: node.nodeName, pods: pods.list(), containerStates, startedAtMs, relistedAtMs: node.cache.relistedAt, cgroupVersion: node.cgroups.version, working: pods.all().map(({ phase, pod }) => ({ phase, pod })), sandboxes: observed.filter(({ sandboxes }) => sandboxes.some(({ state }) => state === "ready")).length };
  };
  return {
    "/configz": { type: "json", body: () => ({ kubeletconfig: configuration(kubelet) }) },
    "/stats/summary": { type: "json", body: async () => summary({ sample: await stats.sample(), details: await details.read(), nodeName: node.nodeName }) },
    "/metrics": { type: "text", body: async () => kubeletMetrics(figures()) + volumeMetrics(await claimFigures(node, pods.list())) + heldVolumeMetrics(node.volumes.counts()) + node.figures.text() + buildInfoMetric() + certificates() },
    "/metrics/resource": { type: "text", body: async () => resourceMetrics(await stats.sample()) },
    "/metrics/cadvisor": { type: "text", body: async () => cadvisorMetrics(await stats.sample(), await details.read()) },
    "/metrics/probes": { type: "text", body: () => probeMetrics(prober.counts()) },
  };
}

/** The KubeletConfiguration this node runs with. */
function configuration({ node }: Kubelet): Record<string, unknown> {
  return { ...node.settings.configuration, clusterDomain: node.clusterDomain, clusterDNS: [...node.clusterDns] };
}
