// Tells every node how long it may keep what it has read, by the number of nodes there are: `node.alpha.kubernetes.io/ttl`.
// Upstream's ttl-controller; bounds overlap, so that a cluster between two sizes does not change its mind all the time.
import { WorkQueue } from "../../../api/client/workqueue.ts";
import { orAbsent } from "../../../api/errors.ts";
import type { Node, Stored } from "../../../api/types.ts";
import { controllerOf, telling, type Controller, type ControllerDeps } from "../controller.ts";
import { NODE } from "../kinds.ts";

const NAME = "ttl-controller";
const ANNOTATION = "node.alpha.kubernetes.io/ttl";
const STEPS = [
  { fewest: 0, most: 100, seconds: 0 }, { fewest: 90, most: 500, seconds: 15 }, { fewest: 450, most: 1000, seconds: 30 },
  { fewest: 900, most: 2000, seconds: 60 }, { fewest: 1800, most: Infinity, seconds: 300 },
] as const;

export function ttlController(deps: ControllerDeps): Controller {
  const client = deps.clientFor(NAME);
  const queue = new WorkQueue({ clock: deps.clock });
  const nodes = deps.informers.for<Node>(NODE);
  let count = 0;
  let step = 0;
  const enqueueWrong = (node: Stored<Node>): void => (node.metadata.annotations?.[ANNOTATION] === wanted() ? undefined : queue.add(node.metadata.name));
  const wanted = (): string => String((STEPS[step] as (typeof STEPS)[number]).seconds);
  const counted = (by: number): void => {
    count += by;
    const { fewest, most } = STEPS[step] as (typeof STEPS)[number];
    if (count > most) step++;
    else if (count < fewest) step--;
  };
  // A new bound reaches a node with its next update: thousands of writes at once would help nobody.
  nodes.addHandler({ add: (node) => { counted(1); enqueueWrong(node); }, update: enqueueWrong, delete: () => counted(-1) });

  const reconcile = async (name: string): Promise<void> => {
    const node = nodes.lister.get(name);
    if (!node || node.metadata.annotations?.[ANNOTATION] === wanted()) return;
    await orAbsent(client.patch<Node>(NODE, { name }, { metadata: { annotations: { [ANNOTATION]: wanted() } } }, { type: "merge" }));
  };
  return controllerOf({ name: NAME, queue, informers: deps.informers, workers: 2, reconcile, subject: telling(deps, NAME, nodes) });
}
