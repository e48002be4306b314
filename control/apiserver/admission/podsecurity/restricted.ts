// The checks of the restricted level, on top of the baseline's: pods that give up what they do not need.
import type { Container, Volume } from "../../../../api/types.ts";
import { procMount } from "./baseline.ts";
import { allContainers, containersText, distinct, hasOwnUsers, isBadProfile, isWindows, namesOf, plural, quoted, seccompType, settersText, unless, type Check, type CheckPod } from "./check.ts";

const VOLUME_KINDS = ["configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected", "secret"];

const addedCapabilities = ({ securityContext }: Container): string[] => (securityContext?.capabilities?.add ?? []).filter((name) => name !== "NET_BIND_SERVICE");
const sourceOf = (volume: Volume): string | undefined => Object.keys(volume).find((key) => key !== "name");

const allowPrivilegeEscalation: CheckPod = (spec) => {
  const names = namesOf(spec, ({ securityContext }) => securityContext?.allowPrivilegeEscalation !== false);
  return names.length === 0 ? undefined : { reason: "allowPrivilegeEscalation != false", detail: `${containersText(names)} must set securityContext.allowPrivilegeEscalation=false` };
};

const capabilities: CheckPod = (spec) => {
  const keeping = namesOf(spec, ({ securityContext }) => !securityContext?.capabilities?.drop?.includes("ALL"));
  const adding = namesOf(spec, (container) => addedCapabilities(container).length > 0);
  const details = [
    ...(keeping.length > 0 ? [`${containersText(keeping)} must set securityContext.capabilities.drop=["ALL"]`] : []),
    ...(adding.length > 0 ? [`${containersText(adding)} must not include ${quoted(distinct(allContainers(spec).flatMap(addedCapabilities)))} in securityContext.capabilities.add`] : []),
  ];
  return details.length === 0 ? undefined : { reason: "unrestricted capabilities", detail: details.join("; ") };
};

const restrictedVolumes: CheckPod = ({ volumes = [] }) => {
  const bad = volumes.filter((volume) => !VOLUME_KINDS.includes(sourceOf(volume) ?? ""));
  if (bad.length === 0) return undefined;
  const kinds = distinct(bad.map((volume) => sourceOf(volume) ?? "unknown"));
  return {
    reason: "restricted volume types",
    detail: `${plural("volume", "volumes", bad.length)} ${quoted(bad.map(({ name }) => name))} ${plural("uses", "use", bad.length)} ${plural("restricted volume type", "restricted volume types", kinds.length)} ${quoted(kinds)}`,
  };
};

const runAsNonRoot: CheckPod = (spec) => {
  const own = spec.securityContext?.runAsNonRoot;
  const explicit = namesOf(spec, ({ securityContext }) => securityContext?.runAsNonRoot === false);
  const reason = "runAsNonRoot != true";
  if (own === false || explicit.length > 0) return { reason, detail: `${settersText(own === false, explicit)} must not set securityContext.runAsNonRoot=false` };
  const silent = own ? [] : namesOf(spec, ({ securityContext }) => securityContext?.runAsNonRoot === undefined);
  return silent.length === 0 ? undefined : { reason, detail: `pod or ${containersText(silent)} must set securityContext.runAsNonRoot=true` };
};

const runAsUser: CheckPod = (spec) => {
  const own = spec.securityContext?.runAsUser === 0;
  const names = namesOf(spec, ({ securityContext }) => securityContext?.runAsUser === 0);
  return !own && names.length === 0 ? undefined : { reason: "runAsUser=0", detail: `${settersText(own, names)} must not set runAsUser=0` };
};

const seccomp: CheckPod = (spec) => {
  const own = seccompType(spec);
  const explicit = namesOf(spec, (container) => isBadProfile(seccompType(container)));
  const reason = "seccompProfile";
  if (isBadProfile(own) || explicit.length > 0) {
    const types = distinct([own, ...allContainers(spec).map(seccompType)].filter(isBadProfile) as string[]);
    return { reason, detail: `${settersText(isBadProfile(own), explicit)} must not set securityContext.seccompProfile.type to ${quoted(types)}` };
  }
  const silent = own ? [] : namesOf(spec, (container) => seccompType(container) === undefined);
  return silent.length === 0 ? undefined : { reason, detail: `pod or ${containersText(silent)} must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"` };
};

/** All checks of the restricted level, with the versions they changed at. */
export const RESTRICTED: readonly Check[] = [
  { id: "allowPrivilegeEscalation", level: "restricted", versions: [{ from: 8, check: allowPrivilegeEscalation }, { from: 25, check: unless(isWindows, allowPrivilegeEscalation) }] },
  { id: "capabilities_restricted", level: "restricted", versions: [{ from: 22, check: capabilities, overrides: ["capabilities_baseline"] }, { from: 25, check: unless(isWindows, capabilities), overrides: ["capabilities_baseline"] }] },
  { id: "procMount_restricted", level: "restricted", versions: [{ from: 35, check: procMount, overrides: ["procMount"] }] },
  { id: "restrictedVolumes", level: "restricted", versions: [{ from: 0, check: restrictedVolumes, overrides: ["hostPathVolumes"] }] },
  { id: "runAsNonRoot", level: "restricted", versions: [{ from: 0, check: runAsNonRoot }, { from: 35, check: unless(hasOwnUsers, runAsNonRoot) }] },
  { id: "runAsUser", level: "restricted", versions: [{ from: 23, check: runAsUser }, { from: 35, check: unless(hasOwnUsers, runAsUser) }] },
  { id: "seccompProfile_restricted", level: "restricted", versions: [{ from: 19, check: seccomp, overrides: ["seccompProfile_baseline"] }, { from: 25, check: unless(isWindows, seccomp), overrides: ["seccompProfile_baseline"] }] },
];
