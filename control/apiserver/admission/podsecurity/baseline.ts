// The checks of the baseline level: nothing that lets a pod out of its box.
import type { Container, PodSpec, Probe } from "../../../../api/types.ts";
import { allContainers, containersText, distinct, hasOwnUsers, isBadProfile, namesOf, plural, quoted, seccompType, settersText, unless, type Check, type CheckPod } from "./check.ts";

const APPARMOR_ANNOTATION = "container.apparmor.security.beta.kubernetes.io/";
const SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_CONTAINER = "container.seccomp.security.alpha.kubernetes.io/";
const CAPABILITIES = new Set(["AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"]);
const SYSCTLS_0 = ["kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range", "net.ipv4.ip_unprivileged_port_start"];
const SYSCTLS_27 = [...SYSCTLS_0, "net.ipv4.ip_local_reserved_ports"];
const SYSCTLS_29 = [...SYSCTLS_27, "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes"];
const SYSCTLS_32 = [...SYSCTLS_29, "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"];
const SELINUX_TYPES = ["", "container_t", "container_init_t", "container_kvm_t"];

const isUnmasked = (type: string | undefined): boolean => type !== undefined && type !== "Default";
const isSeccompAnnotation = (value: string): boolean => value === "runtime/default" || value === "docker/default" || value.startsWith("localhost/");
const appArmorType = ({ securityContext }: Container | PodSpec): string | undefined => securityContext?.appArmorProfile?.type;
const unusualCapabilities = ({ securityContext }: Container): string[] => (securityContext?.capabilities?.add ?? []).filter((name) => !CAPABILITIES.has(name));
const hostPortsOf = ({ ports }: Container): string[] => (ports ?? []).filter(({ hostPort }) => hostPort).map(({ hostPort }) => String(hostPort));

function probedHosts({ livenessProbe, readinessProbe, startupProbe, lifecycle }: Container): string[] {
  const handlers = [livenessProbe, readinessProbe, startupProbe, lifecycle?.postStart, lifecycle?.preStop] as readonly (Probe | undefined)[];
  return handlers.flatMap((handler) => [handler?.httpGet?.host, handler?.tcpSocket?.host]).filter((host) => !!host) as string[];
}

const appArmor: CheckPod = (spec, { annotations = {} }) => {
  const podType = appArmorType(spec);
  const names = namesOf(spec, (container) => isBadProfile(appArmorType(container)));
  const types = distinct([podType, ...allContainers(spec).map(appArmorType)].filter(isBadProfile) as string[]);
  const forbidden = Object.entries(annotations).filter(([key, value]) => key.startsWith(APPARMOR_ANNOTATION) && value !== "" && value !== "runtime/default" && !value.startsWith("localhost/")).map(([key, value]) => `${key}=${JSON.stringify(value)}`).sort();
  const setters = [settersText(isBadProfile(podType), names), ...(forbidden.length > 0 ? [plural("annotation", "annotations", forbidden.length)] : [])].filter((text) => text !== "");
  if (setters.length === 0) return undefined;
  const values = [...types, ...forbidden];
  return { reason: plural("forbidden AppArmor profile", "forbidden AppArmor profiles", values.length), detail: `${setters.join(" and ")} must not set AppArmor profile type to ${quoted(values)}` };
};

const capabilities: CheckPod = (spec) => {
  const names = namesOf(spec, (container) => unusualCapabilities(container).length > 0);
  if (names.length === 0) return undefined;
  return { reason: "non-default capabilities", detail: `${containersText(names)} must not include ${quoted(distinct(allContainers(spec).flatMap(unusualCapabilities)))} in securityContext.capabilities.add` };
};

const hostNamespaces: CheckPod = (spec) => {
  const used = (["hostNetwork", "hostPID", "hostIPC"] as const).filter((name) => spec[name]).map((name) => `${name}=true`);
  return used.length === 0 ? undefined : { reason: "host namespaces", detail: used.join(", ") };
};

const hostPath: CheckPod = ({ volumes }) => {
  const names = (volumes ?? []).filter((volume) => volume.hostPath).map(({ name }) => name);
  return names.length === 0 ? undefined : { reason: "hostPath volumes", detail: `${plural("volume", "volumes", names.length)} ${quoted(names)}` };
};

const hostPorts: CheckPod = (spec) => {
  const names = namesOf(spec, (container) => hostPortsOf(container).length > 0);
  if (names.length === 0) return undefined;
  const ports = distinct(allContainers(spec).flatMap(hostPortsOf));
  return { reason: "hostPort", detail: `${containersText(names)} ${plural("uses", "use", names.length)} ${plural("hostPort", "hostPorts", ports.length)} ${ports.join(", ")}` };
};

const probeHosts: CheckPod = (spec) => {
  const names = distinct(namesOf(spec, (container) => probedHosts(container).length > 0));
  if (names.length === 0) return undefined;
  const found = distinct(allContainers(spec).flatMap(probedHosts));
  return { reason: "probe or lifecycle host", detail: `${containersText(names)} ${plural("uses", "use", names.length)} ${plural("probe or lifecycle host", "probe or lifecycle hosts", found.length)} ${quoted(found)}` };
};

const privileged: CheckPod = (spec) => {
  const names = namesOf(spec, ({ securityContext }) => securityContext?.privileged === true);
  return names.length === 0 ? undefined : { reason: "privileged", detail: `${containersText(names)} must not set securityContext.privileged=true` };
};

/** Also the restricted level's, where users of their own are no excuse. */
export const procMount: CheckPod = (spec) => {
  const names = namesOf(spec, ({ securityContext }) => isUnmasked(securityContext?.procMount));
  if (names.length === 0) return undefined;
  const types = distinct(allContainers(spec).map(({ securityContext }) => securityContext?.procMount).filter(isUnmasked) as string[]);
  return { reason: "procMount", detail: `${containersText(names)} must not set securityContext.procMount to ${quoted(types)}` };
};

const seLinux = (allowed: readonly string[]): CheckPod => (spec) => {
  type Options = NonNullable<NonNullable<PodSpec["securityContext"]>["seLinuxOptions"]>;
  const isBad = (options: Options | undefined): options is Options => options !== undefined && (!allowed.includes(options.type ?? "") || !!options.user || !!options.role);
  const own = spec.securityContext?.seLinuxOptions;
  const names = namesOf(spec, ({ securityContext }) => isBad(securityContext?.seLinuxOptions));
  const all = [own, ...allContainers(spec).map(({ securityContext }) => securityContext?.seLinuxOptions)].filter(isBad);
  if (all.length === 0) return undefined;
  const types = distinct(all.map(({ type = "" }) => type).filter((type) => !allowed.includes(type)));
  const data = [
    ...(types.length > 0 ? [`${plural("type", "types", types.length)} ${quoted(types)}`] : []),
    ...(all.some(({ user }) => user) ? ["user may not be set"] : []),
    ...(all.some(({ role }) => role) ? ["role may not be set"] : []),
  ];
  return { reason: "seLinuxOptions", detail: `${settersText(isBad(own), names)} set forbidden securityContext.seLinuxOptions: ${data.join("; ")}` };
};

const seccompAnnotations: CheckPod = (spec, { annotations = {} }) => {
  const keys = [SECCOMP_POD, ...allContainers(spec).map(({ name }) => `${SECCOMP_CONTAINER}${name}`)];
  const forbidden = distinct(keys.filter((key) => annotations[key] !== undefined && !isSeccompAnnotation(annotations[key])).map((key) => `${key}=${JSON.stringify(annotations[key])}`));
  return forbidden.length === 0 ? undefined : { reason: "seccompProfile", detail: `forbidden ${plural("annotation", "annotations", forbidden.length)} ${forbidden.join(", ")}` };
};

const seccomp: CheckPod = (spec) => {
  const own = seccompType(spec);
  const names = namesOf(spec, (container) => isBadProfile(seccompType(container)));
  if (!isBadProfile(own) && names.length === 0) return undefined;
  const types = distinct([own, ...allContainers(spec).map(seccompType)].filter(isBadProfile) as string[]);
  return { reason: "seccompProfile", detail: `${settersText(isBadProfile(own), names)} must not set securityContext.seccompProfile.type to ${quoted(types)}` };
};

const sysctls = (allowed: readonly string[]): CheckPod => ({ securityContext }) => {
  const forbidden = (securityContext?.sysctls ?? []).map(({ name }) => name).filter((name) => !allowed.includes(name));
  return forbidden.length === 0 ? undefined : { reason: "forbidden sysctls", detail: forbidden.join(", ") };
};

const windowsHostProcess: CheckPod = (spec) => {
  const names = namesOf(spec, ({ securityContext }) => securityContext?.windowsOptions?.hostProcess === true);
  const own = spec.securityContext?.windowsOptions?.hostProcess === true;
  return !own && names.length === 0 ? undefined : { reason: "hostProcess", detail: `${settersText(own, names)} must not set securityContext.windowsOptions.hostProcess=true` };
};

/** All checks of the baseline level, with the versions they changed at. */
export const BASELINE: readonly Check[] = [
  { id: "appArmorProfile", level: "baseline", versions: [{ from: 0, check: appArmor }] },
  { id: "capabilities_baseline", level: "baseline", versions: [{ from: 0, check: capabilities }] },
  { id: "hostNamespaces", level: "baseline", versions: [{ from: 0, check: hostNamespaces }] },
  { id: "hostPathVolumes", level: "baseline", versions: [{ from: 0, check: hostPath }] },
  { id: "hostPorts", level: "baseline", versions: [{ from: 0, check: hostPorts }] },
  { id: "hostProbesAndHostLifecycle", level: "baseline", versions: [{ from: 34, check: probeHosts }] },
  { id: "privileged", level: "baseline", versions: [{ from: 0, check: privileged }] },
  { id: "procMount", level: "baseline", versions: [{ from: 0, check: procMount }, { from: 35, check: unless(hasOwnUsers, procMount) }] },
  { id: "seLinuxOptions", level: "baseline", versions: [{ from: 0, check: seLinux(SELINUX_TYPES) }, { from: 31, check: seLinux([...SELINUX_TYPES, "container_engine_t"]) }] },
  { id: "seccompProfile_baseline", level: "baseline", versions: [{ from: 0, check: seccompAnnotations }, { from: 19, check: seccomp }] },
  { id: "sysctls", level: "baseline", versions: [{ from: 0, check: sysctls(SYSCTLS_0) }, { from: 27, check: sysctls(SYSCTLS_27) }, { from: 29, check: sysctls(SYSCTLS_29) }, { from: 32, check: sysctls(SYSCTLS_32) }] },
  { id: "windowsHostProcess", level: "baseline", versions: [{ from: 0, check: windowsHostProcess }] },
];
