// Rules for security contexts of pods and containers.
import { field, type FieldError } from "../../../../../api/errors.ts";
import type { PodSecurityContext, PodSpec, SecurityContext } from "../../../../../api/types.ts";
import { checkOptionalOneOf } from "../../validation/values.ts";
import type { PodContext } from "./context.ts";
import { checkDescending } from "./paths.ts";

const MAX_ID = 2 ** 31 - 1;
const ID_RULE = `must be between 0 and ${MAX_ID}, inclusive`;
const PROFILE_TYPES = ["Localhost", "RuntimeDefault", "Unconfined"];
const SYSCTL = /^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$/;
const IPC_SYSCTLS = /^(kernel\.(sem$|shm|msg)|fs\.mqueue\.)/;

/** `securityContext` of a container. */
export function checkContainerSecurity(errors: FieldError[], path: string, context: SecurityContext, { hostUsers }: PodContext): void {
  checkId(errors, `${path}.runAsUser`, context.runAsUser);
  checkId(errors, `${path}.runAsGroup`, context.runAsGroup);
  checkOptionalOneOf(errors, `${path}.procMount`, context.procMount, ["Default", "Unmasked"]);
  if (hostUsers && context.procMount === "Unmasked") errors.push(field.invalid(`${path}.procMount`, context.procMount, "`hostUsers` must be false to use `Unmasked`"));
  checkSeccomp(errors, `${path}.seccompProfile`, context.seccompProfile);
  if (context.allowPrivilegeEscalation === false) {
    if (context.privileged) errors.push(field.invalid(path, context, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"));
    if (context.capabilities?.add?.includes("CAP_SYS_ADMIN")) errors.push(field.invalid(path, context, "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"));
  }
  checkAppArmor(errors, `${path}.appArmorProfile`, context.appArmorProfile);
}

/** `securityContext` of a pod, and what of it `hostUsers: false` rules out. */
export function checkPodSecurity(errors: FieldError[], path: string, spec: PodSpec): void {
  const { securityContext: context, hostPID, hostUsers, hostNetwork, hostIPC, shareProcessNamespace } = spec;
  const at = `${path}.securityContext`;
  if (hostPID && shareProcessNamespace) errors.push(field.invalid(`${at}.shareProcessNamespace`, true, "ShareProcessNamespace and HostPID cannot both be enabled"));
  if (hostUsers === false) {
    if (hostNetwork) errors.push(field.forbidden(`${path}.hostNetwork`, "when `hostUsers` is false"));
    if (hostPID) errors.push(field.forbidden(`${path}.HostPID`, "when `hostUsers` is false"));
    if (hostIPC) errors.push(field.forbidden(`${path}.HostIPC`, "when `hostUsers` is false"));
  }
  if (!context) return;
  for (const name of ["fsGroup", "runAsUser", "runAsGroup"] as const) checkId(errors, `${at}.${name}`, context[name]);
  for (const [index, group] of (context.supplementalGroups ?? []).entries()) checkId(errors, `${at}.supplementalGroups[${index}]`, group);
  checkSysctls(errors, `${at}.sysctls`, context.sysctls, spec);
  checkOptionalOneOf(errors, `${at}.fsGroupChangePolicy`, context.fsGroupChangePolicy, ["Always", "OnRootMismatch"]);
  checkSeccomp(errors, `${at}.seccompProfile`, context.seccompProfile);
  checkAppArmor(errors, `${at}.appArmorProfile`, context.appArmorProfile);
  checkOptionalOneOf(errors, `${at}.supplementalGroupsPolicy`, context.supplementalGroupsPolicy, ["Merge", "Strict"]);
  checkOptionalOneOf(errors, `${at}.seLinuxChangePolicy`, context.seLinuxChangePolicy, ["MountOption", "Recursive"]);
}

function checkId(errors: FieldError[], path: string, id: number | undefined): void {
  if (id !== undefined && (id < 0 || id > MAX_ID)) errors.push(field.invalid(path, id, ID_RULE));
}

function checkSysctls(errors: FieldError[], path: string, sysctls: PodSecurityContext["sysctls"], { hostNetwork, hostIPC }: PodSpec): void {
  const names = new Set<string>();
  for (const [index, { name }] of (sysctls ?? []).entries()) {
    const at = `${path}[${index}].name`;
    if (!name) errors.push(field.required(at));
    else if (name.length > 253 || !SYSCTL.test(name)) errors.push(field.invalid(at, name, `must have at most 253 characters and match regex ${SYSCTL.source.replaceAll("\\/", "/").replace("[./]", "[\\./]")}`));
    else if (names.has(name)) errors.push(field.duplicate(at, name));
    names.add(name);
    const dotted = name.replaceAll("/", ".");
    if (hostNetwork && dotted.startsWith("net.")) errors.push(field.invalid(at, name, "may not be specified when 'hostNetwork' is true"));
    if (hostIPC && IPC_SYSCTLS.test(dotted)) errors.push(field.invalid(at, name, "may not be specified when 'hostIPC' is true"));
  }
}

function checkSeccomp(errors: FieldError[], path: string, profile: SecurityContext["seccompProfile"]): void {
  if (!profile) return;
  const { type, localhostProfile } = profile;
  if (!type) errors.push(field.required(`${path}.type`, "type is required when seccompProfile is set"));
  else if (!PROFILE_TYPES.includes(type)) errors.push(field.notSupported(`${path}.type`, type, PROFILE_TYPES));
  if (type !== "Localhost") {
    if (localhostProfile !== undefined) errors.push(field.invalid(`${path}.localhostProfile`, profile, "can only be set when seccomp type is Localhost"));
  } else if (localhostProfile === undefined) errors.push(field.required(`${path}.localhostProfile`, "must be set when seccomp type is Localhost"));
  else checkDescending(errors, `${path}.localhostProfile`, localhostProfile);
}

function checkAppArmor(errors: FieldError[], path: string, profile: SecurityContext["appArmorProfile"]): void {
  if (!profile) return;
  const { type, localhostProfile } = profile;
  const at = `${path}.localhostProfile`;
  if (!type) errors.push(field.required(`${path}.type`, "type is required when appArmorProfile is set"));
  else if (!PROFILE_TYPES.includes(type)) errors.push(field.notSupported(`${path}.type`, type, PROFILE_TYPES));
  else if (type !== "Localhost") {
    if (localhostProfile !== undefined) errors.push(field.invalid(at, localhostProfile, "can only be set when AppArmor type is Localhost"));
  } else if (!localhostProfile?.trim()) errors.push(field.required(at, "must be set when AppArmor type is Localhost"));
  else if (localhostProfile.trim() !== localhostProfile) errors.push(field.invalid(at, localhostProfile, "must not be padded with whitespace"));
}
