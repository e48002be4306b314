// POST to subresources that act instead of being part of the object: binding, eviction, token.
import { badRequest, conflict, methodNotSupported, notFound } from "../../../api/errors.ts";
import type { AnyObject } from "../../../api/types.ts";
import { timestamp } from "../../../lib/clock.ts";
import { attributesOf, admitWhole } from "../admission.ts";
import type { Engine } from "../engine.ts";
import type { ResourceRequest } from "../request.ts";
import { evict } from "./eviction.ts";
import { requireSameName } from "./patch.ts";
import { update } from "./update.ts";

/** What is answered where there is nothing to say but yes. */
export const SUCCESS = { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", code: 201 };

/** Carries out a POST to `request.subresource`; `body` is private to this call. */
export async function postSubresource(engine: Engine, request: ResourceRequest, body: AnyObject): Promise<unknown> {
  const { subresource, kind } = request;
  if (subresource === "binding") return bind(engine, request, body);
  if (subresource === "eviction") return evict(engine, request, body);
  const serve = engine.postHandlers?.[`${kind.plural}/${subresource}`];
  if (!serve) throw methodNotSupported(kind, "create");
  await admitAction(engine, request, body);
  return serve(request, body);
}

/** What is answered and not stored may be refused all the same: NodeRestriction guards tokens. */
async function admitAction(engine: Engine, request: ResourceRequest, body: AnyObject): Promise<void> {
  await admitWhole(engine, attributesOf(request, "CREATE", { object: body }));
}

/** Puts a pod on a node: the only way `spec.nodeName` is ever set after creation. */
async function bind(engine: Engine, request: ResourceRequest, body: AnyObject): Promise<unknown> {
  const { kind, name } = request;
  body.metadata ??= {};
  requireSameName(body, name);
  const target = body["target"] as { kind?: string; name?: string } | undefined;
  if (!target?.name) throw badRequest('Binding "" is invalid: target.name: Required value');
  if (target.kind && target.kind !== "Node" && target.kind !== "Minion") throw badRequest(`invalid target kind ${JSON.stringify(target.kind)}: must be Node`);
  await admitAction(engine, request, body);
  const transform = (current: AnyObject | undefined): AnyObject => {
    if (!current) throw notFound(kind, name);
    return bound(engine, request, { pod: current, body, nodeName: target.name as string });
  };
  await update(engine, { ...request, subresource: "binding" }, { transform, onlyReads: true, isDefaulted: true, unconditional: true, admitted: true });
  return SUCCESS;
}

/** The pod on its node; whatever does not change is the very same as before, so that nobody compares it. */
function bound(engine: Engine, { kind, name }: ResourceRequest, { pod, body, nodeName }: { pod: Readonly<AnyObject>; body: AnyObject; nodeName: string }): AnyObject {
  const { uid, resourceVersion, annotations } = body.metadata;
  if (uid && uid !== pod.metadata.uid) throw conflict(kind, name, `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${pod.metadata.uid}`);
  if (resourceVersion && resourceVersion !== pod.metadata.resourceVersion) throw conflict(kind, name, `Precondition failed: ResourceVersion in precondition: ${resourceVersion}, ResourceVersion in object meta: ${pod.metadata.resourceVersion}`);
  if (pod.metadata.deletionTimestamp) throw conflict({ group: "", plural: "pods/binding" }, name, `pod ${name} is being deleted, cannot be assigned to a host`);
  const { spec = {} } = pod;
  if (spec.nodeName) throw conflict({ group: "", plural: "pods/binding" }, name, `pod ${name} is already assigned to node ${JSON.stringify(spec.nodeName)}`);
  if ((spec.schedulingGates ?? []).length > 0) throw conflict({ group: "", plural: "pods/binding" }, name, `pod ${name} has non-empty .spec.schedulingGates`);
  const metadata = annotations ? { ...pod.metadata, annotations: { ...pod.metadata.annotations, ...annotations } } : { ...pod.metadata };
  const now = timestamp(engine.clock.now());
  const conditions = ((pod["status"]?.conditions ?? []) as { type: string }[]).filter(({ type }) => type !== "PodScheduled");
  // The room that was promised is taken: a nomination left behind would mislead whoever sizes the cluster.
  const { nominatedNodeName: _promised, ...status } = (pod["status"] ?? {}) as AnyObject;
  const scheduled = { type: "PodScheduled", status: "True", lastProbeTime: null, lastTransitionTime: now };
  return { ...pod, metadata, spec: { ...spec, nodeName }, status: { ...status, conditions: [...conditions, scheduled] } };
}
