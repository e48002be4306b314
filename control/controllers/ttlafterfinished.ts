// Deletes Jobs a while after they finished, where they ask for it.
import { keyOf, splitKey } from "../../api/client/informer.ts";
import { WorkQueue } from "../../api/client/workqueue.ts";
import { orAbsent } from "../../api/errors.ts";
import type { Job, Stored } from "../../api/types.ts";
import { controllerOf, telling, type Controller, type ControllerDeps } from "./controller.ts";
import { JOB } from "./kinds.ts";

const NAME = "ttl-after-finished-controller";

export function ttlAfterFinishedController(deps: ControllerDeps): Controller {
  const client = deps.clientFor(NAME);
  const queue = new WorkQueue({ clock: deps.clock });
  const jobs = deps.informers.for<Job>(JOB);
  const enqueue = (job: Stored<Job>): void => (expiryOf(job) === undefined ? undefined : queue.add(keyOf(job)));
  jobs.addHandler({ add: enqueue, update: enqueue });
  const reconcile = async (key: string): Promise<void> => {
    const cached = jobs.lister.get(key);
    const left = cached && remaining(cached);
    if (left === undefined) return;
    if (left > 0) return queue.addAfter(key, left);
    const { namespace, name } = splitKey(key);
    // The time to live may have been raised a moment ago: only the server's word counts for a deletion.
    const fresh = await orAbsent(client.get<Job>(JOB, { namespace, name }));
    if (!fresh || (remaining(fresh) ?? 1) > 0) return;
    await orAbsent(client.delete(JOB, { namespace, name }, { propagationPolicy: "Foreground", preconditions: { uid: fresh.metadata.uid } }));
    deps.figures.observe("ttl_after_finished_controller_job_deletion_duration_seconds", -(remaining(fresh) ?? 0) / 1000);
  };
  const remaining = (job: Stored<Job>): number | undefined => {
    const expiry = expiryOf(job);
    return expiry === undefined ? undefined : expiry - deps.clock.now();
  };
  return controllerOf({ name: NAME, queue, informers: deps.informers, reconcile, subject: telling(deps, NAME, jobs) });
}

/** When a finished Job's time is up, in milliseconds; undefined when it has none, or is not finished. */
function expiryOf(job: Stored<Job>): number | undefined {
  const { ttlSecondsAfterFinished } = job.spec ?? {};
  if (ttlSecondsAfterFinished === undefined || job.metadata.deletionTimestamp) return undefined;
  const finished = job.status?.conditions?.find(({ type, status }) => (type === "Complete" || type === "Failed") && status === "True");
  return finished?.lastTransitionTime ? Date.parse(finished.lastTransitionTime) + ttlSecondsAfterFinished * 1000 : undefined;
}
