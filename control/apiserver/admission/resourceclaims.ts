// Rights beyond the verb on ResourceClaims: admin access to devices, allocating and reserving, reporting about a driver's devices.
// Rules: k8s.io/kubernetes/pkg/registry/resource (admin access, granular status authorization).
import { field, invalid, type FieldError } from "../../../api/errors.ts";
import { builtinKind } from "../../../api/registry.ts";
import type { Client } from "../../../api/client/client.ts";
import type { Namespace, ResourceClaim } from "../../../api/types.ts";
import type { Authorizer } from "../auth/auth.ts";
import { isEqual } from "../kinds/validation/values.ts";
import { isOn } from "./attributes.ts";
import type { AdmissionPlugin, Attributes } from "./plugin.ts";

type Status = NonNullable<ResourceClaim["status"]>;
type Requests = NonNullable<NonNullable<NonNullable<ResourceClaim["spec"]>["devices"]>["requests"]>;

const NAMESPACE = builtinKind("", "v1", "Namespace");
const ADMIN_LABEL = "resource.kubernetes.io/admin-access";
const NODE_NAME = "authentication.kubernetes.io/node-name";
const SERVICE_ACCOUNT = "system:serviceaccount:";

/** Who may get admin access, and who may write which part of a claim's status. */
export function resourceClaimRights(authorizer: Authorizer): AdmissionPlugin {
  return {
    name: "ResourceClaimRights",
    concerns: (door) => door.kind.group === "resource.k8s.io" && (isOn(door, "resourceclaims", ["CREATE"]) || isOn(door, "resourceclaimtemplates", ["CREATE"]) || isOn(door, "resourceclaims", ["UPDATE"], "status")),
    async validate(attributes, client) {
      const errors = attributes.subresource === "status" ? await statusErrors(attributes, { authorizer, client }) : await adminErrors(attributes, requestPath(attributes), client);
      if (errors.length > 0) throw invalid(attributes.kind, attributes.name || attributes.object?.metadata.name || "", errors);
    },
  };
}

/** Where a request asks for admin access. */
function requestPath({ kind, object }: Attributes): string | undefined {
  const spec = kind.plural === "resourceclaims" ? object?.["spec"] : object?.["spec"]?.spec;
  const index = ((spec?.devices?.requests ?? []) as Requests).findIndex(({ exactly }) => exactly?.adminAccess);
  return index < 0 ? undefined : `spec.devices.requests[${index}].adminAccess`;
}

async function adminErrors({ namespace }: Attributes, path: string | undefined, client: Client): Promise<FieldError[]> {
  if (path === undefined) return [];
  const { metadata } = await client.get<Namespace>(NAMESPACE, { name: namespace });
  return metadata.labels?.[ADMIN_LABEL] === "true" ? [] : [field.forbidden(path, `admin access to devices requires the \`${ADMIN_LABEL}: true\` label on the containing namespace`)];
}

async function statusErrors(attributes: Attributes, { authorizer, client }: { authorizer: Authorizer; client: Client }): Promise<FieldError[]> {
  const status = (attributes.object?.["status"] ?? {}) as Status;
  const old = (attributes.oldObject?.["status"] ?? {}) as Status;
  const wasGranted = old.allocation?.devices?.results?.some(({ adminAccess }) => adminAccess) ?? false;
  const granted = wasGranted ? -1 : (status.allocation?.devices?.results ?? []).findIndex(({ adminAccess }) => adminAccess);
  return [
    ...(await adminErrors(attributes, granted < 0 ? undefined : `status.allocation.devices.results[${granted}].adminAccess`, client)),
    ...(await bindingErrors(attributes, authorizer, isEqual(status.allocation, old.allocation) && isEqual(status.reservedFor ?? [], old.reservedFor ?? []))),
    ...(status.allocation ? await driverErrors(attributes, authorizer, { status, old }) : []),
  ];
}

async function bindingErrors({ user, verb, kind }: Attributes, authorizer: Authorizer, isUntouched: boolean): Promise<FieldError[]> {
  if (isUntouched) return [];
  const asked = { user, verb, group: kind.group, version: kind.version, resource: "resourceclaims", subresource: "binding", namespace: "", name: "" };
  const { allowed } = await authorizer.authorize(asked);
  return allowed ? [] : [field.forbidden("status.allocation", `changing status.allocation or status.reservedFor requires resource="resourceclaims/binding", verb="${verb}" permission: ${refusal({ user: user.name, verb, subresource: "binding", name: "", namespace: "" })}`)];
}

/** A driver's service account may speak for the devices of its own node, or for all, as it is given. */
async function driverErrors({ user, verb, kind, namespace }: Attributes, authorizer: Authorizer, { status, old }: { status: Status; old: Status }): Promise<FieldError[]> {
  const errors: FieldError[] = [];
  const isNear = isOnNode(user, status);
  const verbs = [...(isNear ? [`associated-node:${verb}`] : []), `arbitrary-node:${verb}`];
  for (const driver of changedDrivers(status, old)) {
    let isAllowed = false;
    for (const each of verbs) isAllowed ||= (await authorizer.authorize({ user, verb: each, group: kind.group, version: kind.version, resource: "resourceclaims", subresource: "driver", namespace, name: driver })).allowed;
    if (!isAllowed) errors.push(field.forbidden("status.devices", `changing status.devices requires resource="resourceclaims/driver", verb="[${verbs.join(" ")}]" permission: ${refusal({ user: user.name, verb: verbs[0] as string, subresource: "driver", name: driver, namespace })}`));
  }
  return errors;
}

function refusal({ user, verb, subresource, name, namespace }: { user: string; verb: string; subresource: string; name: string; namespace: string }): string {
  const object = `resourceclaims.resource.k8s.io${name === "" ? "" : ` ${JSON.stringify(name)}`}`;
  return `${object} is forbidden: User ${JSON.stringify(user)} cannot ${verb} resource "resourceclaims/${subresource}" in API group "resource.k8s.io" ${namespace === "" ? "at the cluster scope" : `in the namespace ${JSON.stringify(namespace)}`}`;
}

function changedDrivers({ devices = [] }: Status, { devices: before = [] }: Status): string[] {
  const id = ({ driver, pool, device, shareID = "" }: NonNullable<Status["devices"]>[number]): string => `${driver}/${pool}/${device}/${shareID}`;
  const left = new Map(before.map((device) => [id(device), device]));
  const changed = new Set<string>();
  for (const device of devices) {
    const known = left.get(id(device));
    left.delete(id(device));
    if (!known || !isEqual(known, device)) changed.add(device.driver);
  }
  for (const { driver } of left.values()) changed.add(driver);
  return [...changed].sort();
}

function isOnNode({ name, extra }: Attributes["user"], { allocation }: Status): boolean {
  const [nodeName, ...others] = extra?.[NODE_NAME] ?? [];
  const [term, ...terms] = allocation?.nodeSelector?.nodeSelectorTerms ?? [];
  const [wanted] = term?.matchFields ?? [];
  const isOneNode = terms.length === 0 && !term?.matchExpressions?.length && term?.matchFields?.length === 1 && wanted?.key === "metadata.name" && wanted.operator === "In" && wanted.values?.length === 1;
  return name.startsWith(SERVICE_ACCOUNT) && others.length === 0 && nodeName !== undefined && isOneNode && wanted?.values?.[0] === nodeName;
}
