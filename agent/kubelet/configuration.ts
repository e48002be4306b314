// KubeletConfiguration: the file upstream's kubelet takes, with its names, read, checked and completed with defaults.
// Every field is either honoured or refused in words; what the values mean to this node is `settings.ts`.
import { readFileSync } from "node:fs";
import { parse as parseYaml } from "yaml";
import { parseQuantity } from "../../api/quantity.ts";
import { durationMs } from "../../lib/duration.ts";

/** The file cannot be used; the message names the field and what would be right. */
export class ConfigurationError extends Error {
  override readonly name = "ConfigurationError";
}

/** All fields by upstream's names, each with a value. */
export type Configuration = Readonly<Record<string, unknown>>;

type Check = (value: unknown) => string | undefined;

/** A field that is honoured. */
interface Field {
  readonly value: unknown;
  readonly check: Check;
}

const duration: Check = (value) => (typeof value === "string" && durationMs(value) !== undefined ? undefined : "must be a duration, such as 1m30s");
const boolean: Check = (value) => (typeof value === "boolean" ? undefined : "must be true or false");
const text: Check = (value) => (typeof value === "string" ? undefined : "must be a string");
const texts: Check = (value) => (Array.isArray(value) && value.every((one) => typeof one === "string") ? undefined : "must be a list of strings");
const whole = (min: number, max = Number.MAX_SAFE_INTEGER): Check => (value) => (Number.isInteger(value) && (value as number) >= min && (value as number) <= max ? undefined : `must be a whole number between ${min} and ${max}`);
const oneOf = (...choices: readonly string[]): Check => (value) => (choices.includes(value as string) ? undefined : `must be one of ${choices.join(", ")}`);
const quantity: Check = (value) => (isQuantity(value) ? undefined : "must be a quantity, such as 10Mi");
const map = (check: Check): Check => (value) => (isObject(value) ? Object.entries(value).map(([key, one]) => prefixed(key, check(one))).find(Boolean) : "must be a map");
const threshold: Check = (value) => (isQuantity(value) || (typeof value === "string" && /^\d+(\.\d+)?%$/.test(value)) ? undefined : "must be a quantity or a percentage");
const SIGNALS = ["memory.available", "nodefs.available", "nodefs.inodesFree", "imagefs.available", "imagefs.inodesFree", "containerfs.available", "containerfs.inodesFree", "pid.available"];
const signals = (check: Check): Check => (value) => (isObject(value) ? (Object.keys(value).find((key) => !SIGNALS.includes(key))?.replace(/^/, "unknown eviction signal ") ?? map(check)(value)) : "must be a map");

const field = (value: unknown, check: Check): Field => ({ value, check });

/** What this node does with values of its own choice. */
const HONOURED: Readonly<Record<string, Field>> = {
  staticPodPath: field("", text), podLogsDir: field("", text), fileCheckFrequency: field("20s", duration),
  clusterDomain: field("", text), clusterDNS: field([], texts), resolvConf: field("/etc/resolv.conf", text), providerID: field("", text),
  containerRuntimeEndpoint: field("", text), cgroupDriver: field("", oneOf("", "cgroupfs", "systemd")),
  healthzPort: field(10_248, whole(0, 65_535)), healthzBindAddress: field("127.0.0.1", text),
  nodeStatusUpdateFrequency: field("10s", duration), nodeStatusReportFrequency: field("5m0s", duration), nodeLeaseDurationSeconds: field(40, whole(1)), nodeStatusMaxImages: field(50, whole(-1)),
  maxPods: field(110, whole(0)), podsPerCore: field(0, whole(0)), podPidsLimit: field(-1, whole(-1)),
  serializeImagePulls: field(false, boolean), maxParallelImagePulls: field(5, whole(1)), registryPullQPS: field(0, whole(0)), registryBurst: field(10, whole(0)),
  imagePullCredentialsVerificationPolicy: field("NeverVerifyPreloadedImages", oneOf("NeverVerify", "NeverVerifyPreloadedImages", "NeverVerifyAllowlistedImages", "AlwaysVerify")), preloadedImagesVerificationAllowlist: field([], texts),
  imageMinimumGCAge: field("2m0s", duration), imageMaximumGCAge: field("0s", duration), imageGCHighThresholdPercent: field(85, whole(0, 100)), imageGCLowThresholdPercent: field(80, whole(0, 100)),
  containerLogMaxSize: field("10Mi", quantity), containerLogMaxFiles: field(5, whole(2)), containerLogMonitorInterval: field("10s", duration),
  evictionHard: field({ "memory.available": "100Mi", "nodefs.available": "10%", "nodefs.inodesFree": "5%", "imagefs.available": "15%", "imagefs.inodesFree": "5%" }, signals(threshold)), mergeDefaultEvictionSettings: field(false, boolean),
  evictionMinimumReclaim: field({}, signals(threshold)), memorySwap: field({}, asSwap),
  evictionSoft: field({}, signals(threshold)), evictionSoftGracePeriod: field({}, signals(duration)), evictionMaxPodGracePeriod: field(0, whole(0)), evictionPressureTransitionPeriod: field("5m0s", duration),
  systemReserved: field({}, map(quantity)), kubeReserved: field({}, map(quantity)), enforceNodeAllocatable: field(["pods"], (value) => texts(value) ?? ((value as string[]).every((one) => one === "pods" || one === "none") ? undefined : "may hold pods or none")),
  allowedUnsafeSysctls: field([], texts), seccompDefault: field(false, boolean), cpuCFSQuota: field(true, boolean), failSwapOn: field(false, boolean),
  shutdownGracePeriod: field("0s", duration), shutdownGracePeriodCriticalPods: field("0s", duration),
  shutdownGracePeriodByPodPriority: field([], (value) => (Array.isArray(value) && value.every((one) => isObject(one) && Number.isInteger(one["priority"]) && Number.isInteger(one["shutdownGracePeriodSeconds"])) ? undefined : "must be a list of priority and shutdownGracePeriodSeconds")),
  crashLoopBackOff: field({ maxContainerRestartPeriod: "5m0s" }, (value) => (isObject(value) ? prefixed("maxContainerRestartPeriod", value["maxContainerRestartPeriod"] === undefined ? undefined : duration(value["maxContainerRestartPeriod"])) : "must be a map")),
  registerWithTaints: field([], (value) => (Array.isArray(value) && value.every((one) => isObject(one) && typeof one["key"] === "string" && typeof one["effect"] === "string") ? undefined : "must be a list of taints")),
  userNamespaces: field({ idsPerPod: 65_536 }, (value) => (isObject(value) && Number.isInteger(value["idsPerPod"]) && (value["idsPerPod"] as number) > 0 && (value["idsPerPod"] as number) % 65_536 === 0 ? undefined : "idsPerPod must be a multiple of 65536")),
};

/** What this node does in one way only: any other value would be a promise it does not keep. */
const FIXED: Readonly<Record<string, readonly unknown[]>> = {
  enableServer: [true], readOnlyPort: [0], port: [10_250], address: ["0.0.0.0"], rotateCertificates: [true], serverTLSBootstrap: [true], registerNode: [true], runOnce: [false],
  cgroupsPerQOS: [true], cgroupRoot: ["", "/"], cpuManagerPolicy: ["none"], memoryManagerPolicy: ["None"], topologyManagerPolicy: ["none"], topologyManagerScope: ["container"], singleProcessOOMKill: [false], memoryReservationPolicy: ["None", ""],
  configMapAndSecretChangeDetectionStrategy: ["Watch"], enableControllerAttachDetach: [true], localStorageCapacityIsolation: [true], protectKernelDefaults: [false], makeIPTablesUtilChains: [true],
  enableDebuggingHandlers: [true], enableSystemLogHandler: [true], enableProfilingHandler: [true, false], enableDebugFlagsHandler: [true, false], enableContentionProfiling: [false], failCgroupV1: [false], cpuCFSQuotaPeriod: ["100ms"], kernelMemcgNotification: [false],
};

/** What makes no difference here: paces and buffers of parts this node does not have. Accepted, so that files written for upstream work. */
const WITHOUT_EFFECT: readonly string[] = [
  "syncFrequency", "httpCheckFrequency", "eventRecordQPS", "eventBurst", "kubeAPIQPS", "kubeAPIBurst", "contentType", "streamingConnectionIdleTimeout", "volumeStatsAggPeriod",
  "cpuManagerReconcilePeriod", "runtimeRequestTimeout", "hairpinMode", "maxOpenFiles", "iptablesMasqueradeBit", "iptablesDropBit", "containerLogMaxWorkers", "logging", "oomScoreAdj",
  "memoryThrottlingFactor", "volumePluginDir", "showHiddenMetricsForVersion", "enableSystemLogQuery", "authentication", "authorization", "tlsMinVersion", "tlsCipherSuites", "podCIDR",
];

/** Fields of upstream's that would need something this node has not. */
const UNSUPPORTED: readonly string[] = [
  "staticPodURL", "staticPodURLHeader", "tlsCertFile", "tlsPrivateKeyFile", "tlsCurvePreferences", "kubeletCgroups", "systemCgroups", "cpuManagerPolicyOptions", "topologyManagerPolicyOptions", "qosReserved",
  "reservedSystemCPUs", "systemReservedCgroup", "kubeReservedCgroup", "reservedMemory", "tracing", "imageServiceEndpoint", "featureGates",
];

const HEADER = { kind: "KubeletConfiguration", apiVersion: "kubelet.config.k8s.io/v1beta1" };

/** The configuration of a node that was given none. */
export const DEFAULT_CONFIGURATION: Configuration = {
  ...HEADER,
  ...Object.fromEntries(Object.entries(FIXED).map(([name, [value]]) => [name, value])),
  ...Object.fromEntries(Object.entries(HONOURED).map(([name, { value }]) => [name, value])),
  authentication: { anonymous: { enabled: false }, webhook: { enabled: true } }, authorization: { mode: "Webhook" },
};

/** Reads a file; throws ConfigurationError. */
export function readConfiguration(path: string): Configuration {
  try {
    return parseConfiguration(parseYaml(readFileSync(path, "utf8")));
  } catch (error) {
    throw new ConfigurationError(`kubelet configuration ${path}: ${(error as Error).message}`, { cause: error });
  }
}

/** Checks a document and completes it. A duration of zero is the default's, as the files of installers have it. */
export function parseConfiguration(document: unknown): Configuration {
  if (!isObject(document) || document["kind"] !== HEADER.kind || document["apiVersion"] !== HEADER.apiVersion) throw new ConfigurationError(`must be a ${HEADER.kind} of ${HEADER.apiVersion}`);
  const given: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(document)) {
    if (name in HEADER || value === null || value === undefined) continue;
    const problem = problemOf(name, value);
    if (problem) throw new ConfigurationError(problem);
    const isUnset = value === "0s" && HONOURED[name]?.check === duration;
    if (!isUnset) given[name] = value;
  }
  assertTogether(given);
  const merged = { ...DEFAULT_CONFIGURATION, ...given };
  if (given["mergeDefaultEvictionSettings"] === true && given["evictionHard"]) merged["evictionHard"] = { ...(DEFAULT_CONFIGURATION["evictionHard"] as object), ...(given["evictionHard"] as object) };
  if (given["serializeImagePulls"] === true) merged["maxParallelImagePulls"] = 1;
  return merged;
}

function problemOf(name: string, value: unknown): string | undefined {
  const honoured = HONOURED[name];
  if (honoured) return prefixed(name, honoured.check(value));
  const allowed = FIXED[name];
  if (allowed) return allowed.includes(value) || value === "0s" ? undefined : `${name}: this node supports only ${allowed.map((one) => JSON.stringify(one)).join(" or ")}, not ${JSON.stringify(value)}`;
  if (name === "authentication") return asAuthentication(value);
  if (name === "authorization") return isObject(value) && (value["mode"] ?? "Webhook") === "Webhook" ? undefined : "authorization.mode: this node supports only \"Webhook\"";
  if (WITHOUT_EFFECT.includes(name)) return undefined;
  if (UNSUPPORTED.includes(name)) return isEmpty(value) ? undefined : `${name}: this node does not support the field; remove it`;
  return `unknown field "${name}"`;
}

function asSwap(value: unknown): string | undefined {
  if (!isObject(value)) return "must be a map";
  const behaviour = value["swapBehavior"] ?? "";
  if (behaviour === "" || behaviour === "NoSwap") return undefined;
  return behaviour === "LimitedSwap" ? "swapBehavior: this node gives pods no swap; use NoSwap, or leave it out" : `swapBehavior: Invalid value: ${JSON.stringify(behaviour)}: must be one of: "", "LimitedSwap" or "NoSwap"`;
}

function asAuthentication(value: unknown): string | undefined {
  const { anonymous, webhook } = (isObject(value) ? value : {}) as { anonymous?: { enabled?: boolean }; webhook?: { enabled?: boolean } };
  if (anonymous?.enabled) return "authentication.anonymous.enabled: this node supports only false";
  return webhook?.enabled === false ? "authentication.webhook.enabled: this node supports only true" : undefined;
}

function assertTogether(given: Readonly<Record<string, unknown>>): void {
  const at = (name: string): unknown => given[name] ?? DEFAULT_CONFIGURATION[name];
  if (given["serializeImagePulls"] === true && (given["maxParallelImagePulls"] as number | undefined ?? 1) > 1) throw new ConfigurationError("maxParallelImagePulls: cannot be larger than 1 unless serializeImagePulls is false");
  if ((at("imageGCLowThresholdPercent") as number) >= (at("imageGCHighThresholdPercent") as number)) throw new ConfigurationError("imageGCLowThresholdPercent: must be less than imageGCHighThresholdPercent");
  const [all, critical] = [at("shutdownGracePeriod"), at("shutdownGracePeriodCriticalPods")].map((value) => durationMs(value as string) ?? 0) as [number, number];
  if (critical > all) throw new ConfigurationError("shutdownGracePeriodCriticalPods: cannot be greater than shutdownGracePeriod");
  if (all > 0 && (at("shutdownGracePeriodByPodPriority") as unknown[]).length > 0) throw new ConfigurationError("shutdownGracePeriodByPodPriority: cannot be set together with shutdownGracePeriod");
  for (const signal of Object.keys(at("evictionSoft") as object)) if (!(signal in (at("evictionSoftGracePeriod") as object))) throw new ConfigurationError(`evictionSoftGracePeriod: grace period must be specified for the soft eviction threshold ${signal}`);
}

const prefixed = (name: string, problem: string | undefined): string | undefined => problem && `${name}: ${problem}`;
const isObject = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);
const isEmpty = (value: unknown): boolean => value === "" || value === 0 || value === false || value === "0s" || (Array.isArray(value) ? value.length === 0 : isObject(value) && Object.keys(value).length === 0);

function isQuantity(value: unknown): boolean {
  try {
    parseQuantity(String(value));
    return typeof value === "string" || typeof value === "number";
  } catch {
    return false;
  }
}
