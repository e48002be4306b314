// Rules for a pod spec as a whole, in a pod or in a template.
import { field, type FieldError } from "../../../../../api/errors.ts";
import type { ObjectMeta, PodSpec } from "../../../../../api/types.ts";
import { checkContainerResourceName, checkResourceList } from "../../core/resources.ts";
import { checkLabels } from "../../validation/labels.ts";
import { check, dnsLabel, dnsSubdomain, qualifiedName } from "../../validation/names.ts";
import { checkOneOf, checkOptionalOneOf, repeatsOf } from "../../validation/values.ts";
import { checkContainers } from "./containers.ts";
import { contextOf } from "./context.ts";
import { checkNames } from "./dns.ts";
import { checkPodResources } from "./resources.ts";
import { checkAffinity, checkSpread, checkTolerations } from "./scheduling.ts";
import { checkPodSecurity } from "./security.ts";
import { checkEphemeralNames, checkVolumes } from "./volumes.ts";

const RESTART_POLICIES = ["Always", "OnFailure", "Never"];
const PREEMPTION_POLICIES = ["PreemptLowerPriority", "Never"];
const SYSTEMS = ["linux", "windows"];
const MAX_INT = 2 ** 31 - 1;

/** Everything wrong with a pod spec; `metadata` is the pod's own, absent in templates. */
export function checkPodSpec(errors: FieldError[], path: string, given: PodSpec, metadata?: ObjectMeta): void {
  // Required, and yet the first thing that is missing.
  const spec = given.containers ? given : { ...given, containers: [] };
  if (spec.terminationGracePeriodSeconds === undefined) errors.push(field.required(`${path}.terminationGracePeriodSeconds`));
  const volumes = checkVolumes(errors, `${path}.volumes`, spec.volumes, metadata);
  if (metadata?.name) checkEphemeralNames(errors, `${path}.volumes`, spec.volumes, metadata.name);
  checkResourceClaims(errors, `${path}.resourceClaims`, spec.resourceClaims);
  checkContainers(errors, path, spec, contextOf(spec, metadata, volumes));
  checkPodResources(errors, path, spec);
  if (spec.hostNetwork) checkHostNetworkPorts(errors, path, spec, metadata !== undefined);
  checkOneOf(errors, `${path}.restartPolicy`, spec.restartPolicy, RESTART_POLICIES);
  checkPodSecurity(errors, path, spec);
  checkNames(errors, path, spec);
  checkPlacement(errors, path, spec);
  checkReferences(errors, path, spec);
}

function checkPlacement(errors: FieldError[], path: string, spec: PodSpec): void {
  const { nodeSelector, affinity, readinessGates, schedulingGates, topologySpreadConstraints, tolerations, activeDeadlineSeconds: deadline, preemptionPolicy, overhead } = spec;
  if (nodeSelector) checkLabels(errors, `${path}.nodeSelector`, nodeSelector);
  if (affinity) checkAffinity(errors, `${path}.affinity`, affinity);
  for (const [index, { conditionType }] of (readinessGates ?? []).entries()) check(errors, `${path}.readinessGates[${index}].conditionType`, conditionType, qualifiedName);
  const gates = (schedulingGates ?? []).map(({ name }) => name);
  const repeats = repeatsOf(gates);
  for (const [index, name] of gates.entries()) {
    check(errors, `${path}.schedulingGates[${index}]`, name, qualifiedName);
    if (repeats.has(index)) errors.push(field.duplicate(`${path}.schedulingGates[${index}]`, name));
  }
  if (topologySpreadConstraints) checkSpread(errors, `${path}.topologySpreadConstraints`, topologySpreadConstraints);
  if (tolerations) checkTolerations(errors, `${path}.tolerations`, tolerations);
  if (deadline !== undefined && (deadline < 1 || deadline > MAX_INT)) errors.push(field.invalid(`${path}.activeDeadlineSeconds`, deadline, `must be between 1 and ${MAX_INT}, inclusive`));
  checkOptionalOneOf(errors, `${path}.preemptionPolicy`, preemptionPolicy, PREEMPTION_POLICIES);
  checkResourceList(errors, `${path}.overhead.limits`, overhead, checkContainerResourceName);
}

function checkReferences(errors: FieldError[], path: string, spec: PodSpec): void {
  for (const name of ["serviceAccountName", "nodeName", "priorityClassName", "runtimeClassName"] as const) {
    const value = spec[name];
    if (value) check(errors, `${path}.${name}`, value, dnsSubdomain);
  }
  if (!spec.os) return;
  if (!spec.os.name) errors.push(field.required(`${path}.os.name`, "cannot be empty"));
  else if (!SYSTEMS.includes(spec.os.name)) errors.push(field.notSupported(`${path}.os`, spec.os.name, SYSTEMS));
}

function checkHostNetworkPorts(errors: FieldError[], path: string, { containers }: PodSpec, isPod: boolean): void {
  for (const [index, { ports }] of (containers ?? []).entries()) {
    for (const [at, { hostPort = 0, containerPort }] of (ports ?? []).entries()) {
      if ((isPod || hostPort !== 0) && hostPort !== containerPort) errors.push(field.invalid(`${path}.containers[${index}].ports[${at}].hostPort`, hostPort, "must match `containerPort` when `hostNetwork` is true"));
    }
  }
}

function checkResourceClaims(errors: FieldError[], path: string, claims: PodSpec["resourceClaims"]): void {
  const names = new Set<string>();
  for (const [index, claim] of (claims ?? []).entries()) {
    const at = `${path}[${index}]`;
    if (!claim.name) errors.push(field.required(`${at}.name`));
    else if (names.has(claim.name)) errors.push(field.duplicate(`${at}.name`, claim.name));
    else check(errors, `${at}.name`, claim.name, dnsLabel);
    names.add(claim.name);
    const { resourceClaimName, resourceClaimTemplateName } = claim;
    if (resourceClaimName !== undefined && resourceClaimTemplateName !== undefined) errors.push(field.invalid(at, claim, "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"));
    if (resourceClaimName === undefined && resourceClaimTemplateName === undefined) errors.push(field.invalid(at, claim, "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"));
    if (resourceClaimName !== undefined) check(errors, `${at}.resourceClaimName`, resourceClaimName, dnsSubdomain);
    if (resourceClaimTemplateName !== undefined) check(errors, `${at}.resourceClaimTemplateName`, resourceClaimTemplateName, dnsSubdomain);
  }
}
