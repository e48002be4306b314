// The stored FlowSchemas and PriorityLevelConfigurations as one configuration: broken ones left out, mandatory ones never missing.
// Pure; what becomes of the running levels is decided by `control.ts`.
import type { FlowSchema, PriorityLevelConfiguration, Stored } from "../../../api/types.ts";
import { inOrder, matcherOf, type Matcher } from "./match.ts";
import { flowSchemas, priorityLevels } from "./objects.ts";
import type { LevelConfig } from "./seating.ts";

export interface FlowConfig {
  readonly levels: ReadonlyMap<string, LevelConfig>;
  /** In the order they are tried; the last one takes what no other did. */
  readonly matchers: readonly Matcher[];
}

export const EXEMPT = "exempt";
export const CATCH_ALL = "catch-all";
const DEFAULT_SHARES = 30;

/** Digests all stored objects. */
export function flowConfig(levels: readonly Stored<PriorityLevelConfiguration>[], schemas: readonly Stored<FlowSchema>[]): FlowConfig {
  const known = new Map<string, LevelConfig>();
  for (const level of withMandatory(levels, priorityLevels())) {
    const config = levelConfig(level);
    if (config) known.set(config.name, config);
  }
  const matchers = withMandatory(schemas, flowSchemas()).map(matcherOf).filter(({ level }) => known.has(level));
  const ordered = inOrder(matchers);
  // A schema of the same precedence may come after it, and would never be reached by name.
  const last = ordered.find(({ name }) => name === CATCH_ALL);
  return { levels: known, matchers: last ? [...ordered, last] : ordered };
}

/** A level as it is used, undefined for one whose parts contradict each other. */
function levelConfig({ metadata, spec }: Stored<PriorityLevelConfiguration>): LevelConfig | undefined {
  const { name, uid } = metadata;
  const isExempt = spec?.type === "Exempt";
  if (isExempt !== (name === EXEMPT)) return undefined;
  if (isExempt) return { name, uid, isExempt, shares: spec?.exempt?.nominalConcurrencyShares ?? 0, lendablePercent: spec?.exempt?.lendablePercent ?? 0 };
  const limited = spec?.limited;
  if (!limited) return undefined;
  const { type, queuing } = limited.limitResponse ?? { type: "Reject" };
  if ((type === "Queue") !== (queuing !== undefined)) return undefined;
  return {
    name, uid, isExempt, shares: limited.nominalConcurrencyShares ?? DEFAULT_SHARES, lendablePercent: limited.lendablePercent ?? 0, borrowingLimitPercent: limited.borrowingLimitPercent,
    queuing: queuing && { queues: queuing.queues ?? 64, handSize: queuing.handSize ?? 8, queueLengthLimit: queuing.queueLengthLimit ?? 50 },
  };
}

/** Stored objects, and those of the mandatory ones that are not stored (any more) as they would be. */
function withMandatory<T extends FlowSchema | PriorityLevelConfiguration>(stored: readonly Stored<T>[], defaults: readonly unknown[]): Stored<T>[] {
  const missing = (defaults as Stored<T>[]).filter(({ metadata: { name } }) => (name === EXEMPT || name === CATCH_ALL) && !stored.some((object) => object.metadata.name === name));
  return [...stored, ...missing.map((object) => ({ ...object, metadata: { ...object.metadata, uid: "" } }))];
}
