// How a strategy is written down: typed by its kind where it is defined, uniform where it is used.
import type { KubeObject } from "../../../api/types.ts";
import type { Strategy } from "./strategy.ts";

/** Forgets the object type, so that strategies of different kinds fit one list. */
export function define<T extends KubeObject>(strategy: Strategy<T>): Strategy {
  return strategy as unknown as Strategy;
}
