// `pods/eviction`: a delete that asks the pod's disruption budget first.
import { ApiError, badRequest, isConflict, isNotFound, notFound, tooManyRequests } from "../../../api/errors.ts";
import { builtinKind } from "../../../api/registry.ts";
import { matcherOf } from "../../../api/selectors.ts";
import type { AnyObject, DeleteOptions, LabelSelector, PodDisruptionBudget, Stored } from "../../../api/types.ts";
import { timestamp } from "../../../lib/clock.ts";
import { admitWhole, attributesOf } from "../admission.ts";
import { cacheOf, type Engine } from "../engine.ts";
import type { ResourceRequest } from "../request.ts";
import { deleteAdmitted } from "./delete.ts";

const POD = builtinKind("", "v1", "Pod");
const BUDGET = builtinKind("policy", "v1", "PodDisruptionBudget");
const RETRY_SECONDS = 10;
const MAX_DISRUPTED_PODS = 2000;
const SUCCESS = { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", code: 201 };

/** Evicts one pod; throws 429 while its budget allows no disruption. */
export async function evict(engine: Engine, request: ResourceRequest, body: AnyObject): Promise<unknown> {
  const { kind, namespace, name, dryRun } = request;
  await admitWhole(engine, attributesOf(request, "CREATE", { object: body }));
  if (body.metadata?.name !== name) throw badRequest("name in URL does not match name in Eviction object");
  const entry = cacheOf(engine, kind).get(namespace, name);
  if (!entry) throw notFound(kind, name);
  const options = (body["deleteOptions"] ?? {}) as DeleteOptions;
  const isDryRun = dryRun || (options.dryRun ?? []).includes("All");
  const wanted = { ...request, subresource: "", verb: "delete", dryRun: isDryRun };
  if (!mayIgnoreBudget(entry.object)) await takeFromBudget(engine, entry.object, isDryRun);
  if (!isDryRun && !isMarked(entry.object)) await markDisrupted(engine, entry.object);
  await deleteAdmitted(engine, wanted, options);
  return SUCCESS;
}

/** Says on the pod why it goes, so that a Job's failure policy can tell an eviction from a crash. */
async function markDisrupted(engine: Engine, pod: Stored<AnyObject>): Promise<void> {
  const condition = { type: "DisruptionTarget", status: "True", reason: "EvictionByEvictionAPI", message: "Eviction API: evicting", lastTransitionTime: timestamp(engine.clock.now()) };
  const { name, namespace } = pod.metadata;
  await engine.client.patch(POD, { name, namespace }, { status: { conditions: [condition] } }, { type: "strategic", subresource: "status" });
}

/** One that is evicted again and again, while something holds it, is told once. */
function isMarked({ status }: AnyObject): boolean {
  return ((status?.conditions ?? []) as { type: string; status: string }[]).some(({ type, status: value }) => type === "DisruptionTarget" && value === "True");
}

/** Pods that finished, never ran or are already going disturb nobody. */
function mayIgnoreBudget({ metadata, status }: AnyObject): boolean {
  return metadata.deletionTimestamp !== undefined || ["Succeeded", "Failed", "Pending"].includes(status?.phase ?? "");
}

async function takeFromBudget(engine: Engine, pod: Stored<AnyObject>, dryRun: boolean): Promise<void> {
  const budgets = budgetsOf(engine, pod);
  if (budgets.length === 0) return;
  if (budgets.length > 1) throw new ApiError(500, "InternalError", "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.");
  const { name, namespace } = (budgets[0] as Stored<PodDisruptionBudget>).metadata;
  for (let attempt = 0; attempt < 20; attempt++) {
    try {
      const budget = await engine.client.get<PodDisruptionBudget>(BUDGET, { name, namespace });
      if (!isReady(pod) && mayEvictUnready(budget)) return;
      const next = disrupted(budget, pod.metadata.name, timestamp(engine.clock.now()));
      if (!dryRun) await engine.client.update(BUDGET, next, { subresource: "status" });
      return;
    } catch (error) {
      if (isNotFound(error)) return;
      if (!isConflict(error)) throw error;
    }
  }
  throw tooManyRequests("couldn't update PodDisruptionBudget due to conflicts", RETRY_SECONDS);
}

function budgetsOf(engine: Engine, pod: AnyObject): Stored<PodDisruptionBudget>[] {
  const found: Stored<PodDisruptionBudget>[] = [];
  for (const { object } of cacheOf(engine, BUDGET).entries(pod.metadata.namespace)) {
    if (matcherOf(object["spec"]?.selector as LabelSelector | undefined).matches(pod.metadata.labels)) found.push(object as unknown as Stored<PodDisruptionBudget>);
  }
  return found;
}

function isReady({ status }: AnyObject): boolean {
  return ((status?.conditions ?? []) as { type: string; status: string }[]).some((condition) => condition.type === "Ready" && condition.status === "True");
}

/** A pod that serves nobody may go when its budget says so, or when the application is healthy without it. */
function mayEvictUnready({ spec, status }: PodDisruptionBudget): boolean {
  if (spec?.unhealthyPodEvictionPolicy === "AlwaysAllow") return true;
  return (status?.desiredHealthy ?? 0) > 0 && (status?.currentHealthy ?? 0) >= (status?.desiredHealthy ?? 0);
}

/** The budget with one disruption less, naming the pod so that it is counted once; throws 429 when none is left. */
function disrupted(budget: Stored<PodDisruptionBudget>, podName: string, now: string): Stored<PodDisruptionBudget> {
  const { metadata, status } = budget;
  const refusal = "Cannot evict pod as it would violate the pod's disruption budget.";
  const details = (message: string): ApiError => new ApiError(429, "TooManyRequests", refusal, { causes: [{ reason: "DisruptionBudget", message }] });
  if (!status || (status.observedGeneration ?? 0) < (metadata.generation ?? 0)) {
    throw new ApiError(429, "TooManyRequests", refusal, { retryAfterSeconds: RETRY_SECONDS, causes: [{ reason: "DisruptionBudget", message: `The disruption budget ${metadata.name} is still being processed by the server.` }] });
  }
  const { disruptionsAllowed = 0 } = status;
  if (disruptionsAllowed < 0) throw new ApiError(403, "Forbidden", `poddisruptionbudgets.policy "${metadata.name}" is forbidden: pdb disruptions allowed is negative`);
  const marked = { ...status.disruptedPods };
  if (Object.keys(marked).length > MAX_DISRUPTED_PODS) throw new ApiError(403, "Forbidden", `poddisruptionbudgets.policy "${metadata.name}" is forbidden: DisruptedPods map too big - too many evictions not confirmed by PDB controller`);
  if (disruptionsAllowed === 0) throw details(`The disruption budget ${metadata.name} needs ${status.desiredHealthy} healthy pods and has ${status.currentHealthy} currently`);
  return { ...budget, status: { ...status, disruptionsAllowed: disruptionsAllowed - 1, disruptedPods: { ...marked, [podName]: now } } } as Stored<PodDisruptionBudget>;
}
