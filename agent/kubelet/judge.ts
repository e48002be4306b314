// Whether a container that runs is still what its pod's spec says.
// What is done about it is the plan's.
import type { Container } from "../../api/types.ts";
import type { ContainerRecord } from "../runtime/runtime.ts";
import type { Action, PlanInput } from "./actions.ts";
import { changedResources, effectiveResources } from "./allocation.ts";
import { hashOf, recordedHash } from "./labels.ts";

/** undefined when the container has what it should. */
export function judgeResize(input: PlanInput, container: Container, record: ContainerRecord): "restart" | Extract<Action, { type: "resize" }> | undefined {
  const have = input.actuated.get(record.id);
  const changed = have ? changedResources(effectiveResources(input.pod, container), have) : [];
  if (changed.length === 0) return undefined;
  const needsRestart = container.resizePolicy?.some(({ resourceName, restartPolicy }) => restartPolicy === "RestartContainer" && changed.some((name) => name === resourceName));
  return needsRestart ? "restart" : { type: "resize", id: record.id, container: container.name };
}

/** Whether its definition has changed since it was made. */
export function isOutdated(container: Container, record: ContainerRecord): boolean {
  const hash = recordedHash(record);
  return hash !== undefined && hash !== hashOf(container);
}
