// The `/scale` view of a workload: reads and writes only the number of replicas.
import { field, invalid, modifiedConflict, notFound } from "../../../api/errors.ts";
import type { AnyObject, Scale } from "../../../api/types.ts";
import { attributesOf, admitWhole } from "../admission.ts";
import { cacheOf, type Engine } from "../engine.ts";
import type { Strategy } from "../kinds/strategy.ts";
import type { ResourceRequest } from "../request.ts";
import { makeReady, represent } from "./convert.ts";
import { requireSameName } from "./patch.ts";
import { update } from "./update.ts";

const SCALE = { group: "autoscaling", version: "v1", kind: "Scale" };

/** The Scale of one object. */
export async function getScale(engine: Engine, { kind, namespace, name }: ResourceRequest): Promise<Scale> {
  const entry = cacheOf(engine, kind).get(namespace, name);
  if (!entry) throw notFound(kind, name);
  await makeReady(engine, kind, [entry]);
  return scaleOf(represent(engine, kind, entry).object, engine.strategies.for(kind));
}

/** Changes the Scale; `transform` gets the current one. A version it carries must be the current one. */
export async function updateScale(engine: Engine, request: ResourceRequest, transform: (current: Scale) => Scale): Promise<Scale> {
  const { kind, name } = request;
  const strategy = engine.strategies.for(kind);
  const setScale = async (current: AnyObject | undefined): Promise<AnyObject> => {
    const object = current as AnyObject;
    const old = scaleOf(object, strategy);
    const scale = engine.codec.decode(SCALE, transform(scaleOf(object, strategy)), "Ignore").object as unknown as Scale;
    scale.metadata ??= {};
    requireSameName(scale as AnyObject, name);
    const { resourceVersion, uid } = scale.metadata;
    if (resourceVersion && resourceVersion !== object.metadata.resourceVersion) throw modifiedConflict(kind, name);
    if (uid && uid !== object.metadata.uid) throw modifiedConflict(kind, name);
    await admit(engine, request, { scale, old });
    const replicas = scale.spec?.replicas ?? 0;
    if (!Number.isInteger(replicas) || replicas < 0) throw invalid({ group: "autoscaling", kind: "Scale" }, name, [field.invalid("spec.replicas", replicas, "must be greater than or equal to 0")]);
    strategy.scale?.setReplicas(object, replicas);
    return object;
  };
  const { entry } = await update(engine, { ...request, subresource: "" }, { transform: setScale, unconditional: true, trackedAs: "scale", admitted: true });
  return scaleOf(entry.object, strategy);
}

/** Admission sees the Scale, not the object behind it. */
async function admit(engine: Engine, request: ResourceRequest, { scale, old }: { scale: Scale; old: Scale }): Promise<void> {
  await admitWhole(engine, attributesOf(request, "UPDATE", { object: scale as AnyObject, oldObject: old as AnyObject }));
}

function scaleOf(object: AnyObject, strategy: Strategy): Scale {
  const { scale } = strategy;
  if (!scale) throw new Error(`${object.kind} has a scale subresource and no scale in its strategy`);
  const { name = "", namespace, uid, resourceVersion, creationTimestamp } = object.metadata;
  const selector = scale.selector(object);
  return {
    kind: "Scale", apiVersion: "autoscaling/v1",
    metadata: { name, ...(namespace !== undefined && { namespace }), ...(uid && { uid }), ...(resourceVersion && { resourceVersion }), ...(creationTimestamp && { creationTimestamp }) },
    spec: { replicas: scale.replicas(object) },
    status: { replicas: scale.statusReplicas(object), ...(selector !== "" && { selector }) },
  } as Scale;
}
