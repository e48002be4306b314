// What a node may report about a pod.
import { isIP } from "node:net";
import { field, type FieldError } from "../../../../../api/errors.ts";
import type { ContainerStatus, Pod } from "../../../../../api/types.ts";
import { NOT_AN_IP } from "../../validation/addresses.ts";
import { check, dnsSubdomain, qualifiedName } from "../../validation/names.ts";
import { checkImmutable } from "../../validation/values.ts";
import { mirrorErrors } from "./update.ts";

const SYSTEM_CONDITIONS = new Set(["PodScheduled", "Ready", "Initialized"]);

/** Rules for a new status. */
export function validatePodStatus(pod: Pod, old: Pod): FieldError[] {
  const errors = mirrorErrors(pod, old);
  const status = pod.status ?? {};
  const before = old.status ?? {};
  for (const [index, { type }] of (status.conditions ?? []).entries()) if (!SYSTEM_CONDITIONS.has(type)) check(errors, `status.conditions[${index}].Type`, type, qualifiedName);
  const nominated = status.nominatedNodeName;
  if (nominated && nominated !== before.nominatedNodeName) {
    check(errors, "status.nominatedNodeName", nominated, dnsSubdomain);
    if (old.spec?.nodeName) errors.push(field.forbidden("status.nominatedNodeName", "may not be set on pods that are already bound to a node"));
  }
  checkImmutable(errors, "status.qosClass", status.qosClass ?? "", before.qosClass ?? "");
  transitionErrors(pod, old, errors);
  addressErrors("podIPs", status.podIPs, errors);
  addressErrors("hostIPs", status.hostIPs, errors);
  const host = status.hostIPs?.[0]?.ip;
  if (host !== undefined && host !== status.hostIP) errors.push(field.invalid("status.hostIPs[0].ip", host, "must be equal to `hostIP`"));
  return errors;
}

/** A container that has finished for good does not come back. */
function transitionErrors({ status }: Pod, { spec, status: old }: Pod, errors: FieldError[]): void {
  if (spec?.restartPolicy === "Always") return;
  const mayRestart = (name: string): boolean => [...(spec?.containers ?? []), ...(spec?.initContainers ?? [])].some((container) => container.name === name && (container.restartPolicy !== undefined || container.restartPolicyRules !== undefined));
  for (const list of ["containerStatuses", "initContainerStatuses"] as const) {
    for (const before of old?.[list] ?? []) {
      const exit = before.state?.terminated;
      if (!exit || mayRestart(before.name) || (exit.exitCode !== 0 && spec?.restartPolicy === "OnFailure")) continue;
      const index = (status?.[list] ?? []).findIndex(({ name }) => name === before.name);
      if (index >= 0 && !isTerminated(status?.[list]?.[index])) errors.push(field.forbidden(`status.${list}[${index}].state`, "may not be transitioned to non-terminated state"));
    }
  }
}

function isTerminated(status: ContainerStatus | undefined): boolean {
  return status?.state?.terminated !== undefined;
}

function addressErrors(name: "podIPs" | "hostIPs", addresses: readonly { ip?: string | undefined }[] | undefined, errors: FieldError[]): void {
  if (!addresses?.length) return;
  for (const [index, { ip = "" }] of addresses.entries()) if (isIP(ip) === 0) errors.push(field.invalid(`status.${name}[${index}]`, ip, NOT_AN_IP));
  const families = new Set(addresses.map(({ ip = "" }) => isIP(ip)));
  if (addresses.length > 2 || families.size < addresses.length) errors.push(field.invalid(`status.${name}`, addresses, "may specify no more than one IP for each IP family"));
}
