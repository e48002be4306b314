// Objects the scenarios share, and what must be left of them in the end.
import type { KindInfo } from "../../../api/kinds.ts";
import type { Pod, PodTemplateSpec } from "../../../api/types.ts";
import { POD, REPLICA_SET } from "../kinds.ts";
import { check, type World } from "./world.suite.ts";

export const labels = { app: "web" };

export function aTemplate(image: string, spec: Partial<PodTemplateSpec["spec"]> = {}): PodTemplateSpec {
  return { metadata: { labels }, spec: { containers: [{ name: "c", image }], ...spec } };
}

export const imageOf = (pod: Pod): string | undefined => pod.spec?.containers[0]?.image;

/** Nothing of these kinds is left. */
export async function checkNoLeftovers(world: World, kinds: readonly KindInfo[] = [POD, REPLICA_SET]): Promise<void> {
  for (const kind of kinds) {
    const left = await world.list(kind);
    check(world, left.length === 0, `left over: ${left.map(({ metadata }) => `${kind.kind} ${metadata.name}`).join(", ")}`);
  }
}
