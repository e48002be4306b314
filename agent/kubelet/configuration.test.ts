// The kubelet's configuration file: what is taken, what is refused and in which words.
import { expect, test } from "bun:test";
import { DEFAULT_CONFIGURATION, parseConfiguration } from "./configuration.ts";
import { settingsOf } from "./settings.ts";

const parse = (fields: object): ReturnType<typeof parseConfiguration> => parseConfiguration({ kind: "KubeletConfiguration", apiVersion: "kubelet.config.k8s.io/v1beta1", ...fields });
const settings = (fields: object): ReturnType<typeof settingsOf> => settingsOf(parse(fields));

test("without fields it is the defaults", () => {
  expect(parse({})).toEqual(DEFAULT_CONFIGURATION);
  expect(settings({})).toMatchObject({ maxPods: 110, podPidsLimit: undefined, maxParallelPulls: 5, shutdown: [], reserved: {}, maxRestartDelayMs: 300_000 });
});

test("an installer's file for upstream is taken, zero durations meaning the default", () => {
  const file = parse({
    authentication: { anonymous: { enabled: false }, webhook: { cacheTTL: "0s", enabled: true }, x509: { clientCAFile: "/etc/kubernetes/pki/ca.crt" } }, authorization: { mode: "Webhook", webhook: { cacheAuthorizedTTL: "0s" } },
    cgroupDriver: "systemd", clusterDNS: ["10.96.0.10"], clusterDomain: "cluster.local", containerRuntimeEndpoint: "", cpuManagerReconcilePeriod: "0s", crashLoopBackOff: {}, evictionPressureTransitionPeriod: "0s", fileCheckFrequency: "0s",
    healthzBindAddress: "127.0.0.1", healthzPort: 10248, httpCheckFrequency: "0s", imageMaximumGCAge: "0s", imageMinimumGCAge: "0s", logging: { flushFrequency: 0, verbosity: 0 }, memorySwap: {}, nodeStatusReportFrequency: "0s", nodeStatusUpdateFrequency: "0s",
    rotateCertificates: true, runtimeRequestTimeout: "0s", shutdownGracePeriod: "0s", shutdownGracePeriodCriticalPods: "0s", staticPodPath: "/etc/kubernetes/manifests", streamingConnectionIdleTimeout: "0s", syncFrequency: "0s", volumeStatsAggPeriod: "0s",
  });
  expect(settingsOf(file)).toMatchObject({ nodeStatus: { checkMs: 10_000, reportMs: 300_000 }, imageGc: { minAgeMs: 120_000 } });
});

test.each([
  [{ maxPodz: 3 }, 'unknown field "maxPodz"'],
  [{ maxPods: "many" }, "maxPods: must be a whole number"],
  [{ imageMinimumGCAge: "soon" }, "imageMinimumGCAge: must be a duration"],
  [{ evictionHard: { "memory.free": "1Gi" } }, "evictionHard: unknown eviction signal memory.free"],
  [{ evictionHard: { "memory.available": "lots" } }, "evictionHard: memory.available: must be a quantity or a percentage"],
  [{ readOnlyPort: 10255 }, "readOnlyPort: this node supports only 0, not 10255"],
  [{ cpuManagerPolicy: "static" }, 'cpuManagerPolicy: this node supports only "none", not "static"'],
  [{ authentication: { anonymous: { enabled: true } } }, "authentication.anonymous.enabled"],
  [{ memorySwap: { swapBehavior: "LimitedSwap" } }, "memorySwap: swapBehavior: this node gives pods no swap"],
  [{ authorization: { mode: "AlwaysAllow" } }, "authorization.mode"],
  [{ staticPodURL: "http://x" }, "staticPodURL: this node does not support the field"],
  [{ serializeImagePulls: true, maxParallelImagePulls: 2 }, "maxParallelImagePulls: cannot be larger than 1"],
  [{ imageGCHighThresholdPercent: 70 }, "imageGCLowThresholdPercent: must be less"],
  [{ shutdownGracePeriod: "10s", shutdownGracePeriodCriticalPods: "20s" }, "shutdownGracePeriodCriticalPods: cannot be greater"],
  [{ evictionSoft: { "memory.available": "1Gi" } }, "grace period must be specified"],
])("%j is refused", (fields, words) => {
  expect(() => parse(fields)).toThrow(words);
});

test("values are in the units the node works with", () => {
  expect(settings({ shutdownGracePeriod: "30s", shutdownGracePeriodCriticalPods: "10s" }).shutdown).toEqual([{ priority: 0, seconds: 20 }, { priority: 2_000_000_000, seconds: 10 }]);
  expect(settings({ shutdownGracePeriodByPodPriority: [{ priority: 100, shutdownGracePeriodSeconds: 5 }, { priority: 0, shutdownGracePeriodSeconds: 9 }] }).shutdown).toEqual([{ priority: 0, seconds: 9 }, { priority: 100, seconds: 5 }]);
  expect(settings({ systemReserved: { cpu: "100m", memory: "1Gi" }, kubeReserved: { cpu: "200m", pid: "100" } }).reserved).toEqual({ cpu: "300m", memory: "1Gi", pid: "100" });
  expect(settings({ evictionHard: { "memory.available": "5%" }, mergeDefaultEvictionSettings: true }).eviction.hard).toMatchObject({ "memory.available": { share: 0.05 }, "nodefs.available": { share: 0.1 } });
  expect(settings({ evictionHard: { "memory.available": "1Gi" } }).eviction.hard).toEqual({ "memory.available": { amount: 1 << 30 } });
  expect(settings({ serializeImagePulls: true }).maxParallelPulls).toBe(1);
  expect(settings({ crashLoopBackOff: { maxContainerRestartPeriod: "20s" } }).maxRestartDelayMs).toBe(20_000);
});
