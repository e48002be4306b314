// What every verb works with: the parts the API server is composed of, handed in once.
import type { Client } from "../../api/client/client.ts";
import type { GroupVersionKind, KindInfo } from "../../api/kinds.ts";
import type { KindRegistry } from "../../api/registry.ts";
import type { AnyObject } from "../../api/types.ts";
import { timestamp, type Clock } from "../../lib/clock.ts";
import type { Store } from "../store/store.ts";
import type { AdmissionPlugin } from "./admission/plugin.ts";
import type { Caches } from "./cache/caches.ts";
import type { ResourceCache } from "./cache/resource-cache.ts";
import type { Codec } from "./codec.ts";
import type { Strategies, Strategy, StrategyContext } from "./kinds/strategy.ts";
import type { ResourceRequest, UserInfo } from "./request.ts";

/** The parts below the verbs. */
export interface Engine {
  readonly store: Store;
  readonly caches: Caches;
  readonly kinds: KindRegistry;
  readonly strategies: Strategies;
  readonly codec: Codec;
  readonly admission: readonly AdmissionPlugin[];
  readonly clock: Clock;
  /** Acts as the API server itself. */
  readonly client: Client;
  /** Reads bodies in protobuf; without it they are refused. */
  readonly protobuf?: { decode(body: Buffer, expected: GroupVersionKind): unknown } | undefined;
  /** Who serves POSTs that create nothing, by `<plural>` or `<plural>/<subresource>`: tokens, reviews. */
  readonly postHandlers?: Readonly<Record<string, PostHandler>> | undefined;
}

/** A part of the API server that goes on by itself, such as what serves custom resources. */
export interface Extension {
  /** Called before anything is served; what it awaits, the start of the server awaits. */
  start(engine: Engine, signal: AbortSignal): void | Promise<void>;
}

/** Answers one POST that is not stored; `body` is decoded and private. */
export type PostHandler = (request: ResourceRequest, body: AnyObject) => Promise<unknown> | unknown;

/** Who the API server is when it acts on its own. */
export const LOOPBACK_USER: UserInfo = { name: "system:apiserver", groups: ["system:masters", "system:authenticated"] };

/** The watch cache of a kind. */
export function cacheOf(engine: Engine, kind: KindInfo): ResourceCache {
  return engine.caches.forKind(kind);
}

/** What strategies are told about a request. */
export function strategyContext(engine: Engine, request: ResourceRequest): StrategyContext {
  return {
    user: request.user, dryRun: request.dryRun, client: engine.client,
    now: timestamp(engine.clock.now()),
    warn: (text) => void request.warnings.push(text),
  };
}

/** Whether `metadata.generation` counts this kind's spec changes. */
export function countsGenerations(kind: KindInfo, strategy: Strategy): boolean {
  return strategy.hasGeneration ?? kind.subresources["status"] !== undefined;
}
