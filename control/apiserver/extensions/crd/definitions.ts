// Serves what CustomResourceDefinitions define: follows them in the cache, accepts their names, puts their versions into the
// table of kinds and the schema, and empties a kind whose definition is deleted.
import { forbidden, isConflict, isNotFound } from "../../../../api/errors.ts";
import { builtinKind, type KindRegistry } from "../../../../api/registry.ts";
import { apiVersionOf, type KindInfo } from "../../../../api/kinds.ts";
import { customNode } from "../../../../api/schema/custom.ts";
import type { SchemaEngine } from "../../../../api/schema/engine.ts";
import type { AnyObject } from "../../../../api/types.ts";
import { timestamp } from "../../../../lib/clock.ts";
import { logger } from "../../../../lib/log.ts";
import { cacheOf, type Engine, type Extension } from "../../engine.ts";
import { selectAll } from "../../cache/selection.ts";
import { equalJson } from "../../json.ts";
import type { Strategy } from "../../kinds/strategy.ts";
import { customConversion, type Converter } from "./convert.ts";
import { namedStatus, withConditions } from "./names.ts";
import { publishedSchema } from "./publish.ts";
import { customStrategy, kindOf } from "./resources.ts";
import { compareVersions, crdOf, hasCondition, storageVersionOf, type Crd } from "./schema.ts";
import { CLEANUP_FINALIZER, crdStrategy } from "./strategy.ts";
import { compileRules } from "./rules.ts";

const log = logger("customresources");
const CRD = builtinKind("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
const RETRY_MS = 500;
const TERMINATING = { type: "Terminating", status: "True", reason: "InstanceDeletionInProgress", message: "CustomResource deletion is in progress" };

export interface DefinitionsDeps {
  readonly kinds: KindRegistry;
  readonly schema: SchemaEngine;
  /** Asks the webhook a definition names. */
  readonly converterOf?: (crd: Crd) => Converter | undefined;
}

interface Served {
  readonly crd: Crd;
  readonly kinds: readonly KindInfo[];
}

/** Custom resources, from definition to serving. */
export class CustomResources implements Extension {
  readonly #deps: DefinitionsDeps;
  readonly #served = new Map<string, Served>();
  readonly #strategies = new Map<string, Strategy>();
  readonly #busy = new Set<string>();
  #engine: Engine | undefined;
  #signal: AbortSignal | undefined;

  constructor(deps: DefinitionsDeps) {
    this.#deps = deps;
  }

  /** The strategy of a custom kind, and of definitions themselves. */
  readonly strategyFor = (kind: KindInfo): Strategy | undefined => {
    if (kind.group === crdStrategy.group && kind.kind === crdStrategy.kind) return crdStrategy;
    return this.#strategies.get(`${apiVersionOf(kind)}/${kind.kind}`);
  };

  start(engine: Engine, signal: AbortSignal): void {
    this.#engine = engine;
    this.#signal = signal;
    const cache = cacheOf(engine, CRD);
    const stop = cache.watchFromNow(selectAll(), {
      deliver: (deliveries) => {
        for (const { type, entry } of deliveries) this.#see(crdOf(entry.object), type === "DELETED");
      },
    }, engine.caches.revision);
    signal.addEventListener("abort", stop, { once: true });
    for (const entry of cache.list({ selection: selectAll() }).entries) this.#see(crdOf(entry.object), false);
  }

  #see(crd: Crd, isGone: boolean): void {
    try {
      if (isGone) this.#unserve(crd.metadata.name as string);
      else if (hasCondition(crd, "Established")) this.#serve(crd);
    } catch (error) {
      log.error({ crd: crd.metadata.name, err: error }, "a custom resource cannot be served");
    }
    if (isGone) this.#settleGroup(crd.spec.group);
    else this.#settle(crd.metadata.name as string);
  }

  /** Puts a definition's versions into the table of kinds, in discovery's order. */
  #serve(crd: Crd): void {
    const name = crd.metadata.name as string;
    const before = this.#served.get(name);
    if (before && equalJson(before.crd.spec, crd.spec) && equalJson(before.crd.status?.acceptedNames, crd.status?.acceptedNames) && hasCondition(before.crd, "Terminating") === hasCondition(crd, "Terminating")) return;
    const { kinds: registry, schema } = this.#deps;
    const versions = crd.spec.versions.filter(({ served }) => served).sort((a, b) => compareVersions(a.name, b.name));
    const named = withAcceptedNames(crd);
    const kinds = versions.map((version) => kindOf(named, version));
    const converter = this.#deps.converterOf?.(crd);
    const rows = versions.map((version, index) => {
      const kind = kinds[index] as KindInfo;
      const conversion = customConversion({ crd, version, kind, storageVersion: storageVersionOf(crd).name, schema, converter });
      return { version, kind, strategy: this.#untilEnding(name, kind, { ...customStrategy(crd, version, compileRules(version.schema?.openAPIV3Schema)), conversion }) };
    });
    for (const kind of before?.kinds ?? []) if (!kinds.some((next) => next.version === kind.version)) this.#forget(kind);
    for (const { version, kind, strategy } of rows) {
      schema.add(kind, customNode(version.schema?.openAPIV3Schema, schema.definitions), publishedSchema(crd, version));
      this.#strategies.set(`${apiVersionOf(kind)}/${kind.kind}`, strategy);
      registry.add(kind);
    }
    this.#served.set(name, { crd, kinds });
  }

  /** Nothing new while everything there is being deleted. */
  #untilEnding(name: string, kind: KindInfo, strategy: Strategy): Strategy {
    return {
      ...strategy,
      prepareForCreate: (object, context) => {
        const found = cacheOf(this.#engine as Engine, CRD).get("", name);
        if (found && hasCondition(crdOf(found.object), "Terminating")) throw forbidden(kind, object.metadata.name ?? "", "create not allowed while custom resource definition is terminating");
        return strategy.prepareForCreate?.(object, context);
      },
    };
  }

  #unserve(name: string): void {
    for (const kind of this.#served.get(name)?.kinds ?? []) this.#forget(kind);
    this.#served.delete(name);
  }

  #forget(kind: KindInfo): void {
    this.#deps.kinds.remove(kind);
    this.#deps.schema.remove(kind);
    this.#strategies.delete(`${apiVersionOf(kind)}/${kind.kind}`);
  }

  /** A name may be free now. */
  #settleGroup(group: string): void {
    for (const crd of this.#all()) if (crd.spec.group === group && !hasCondition(crd, "NamesAccepted")) this.#settle(crd.metadata.name as string);
  }

  #all(): Crd[] {
    const engine = this.#engine as Engine;
    return cacheOf(engine, CRD).list({ selection: selectAll() }).entries.map(({ object }) => crdOf(object));
  }

  /** Brings status and deletion of one definition forward, one at a time, until there is nothing to do. */
  #settle(name: string): void {
    if (this.#busy.has(name) || this.#signal?.aborted) return;
    this.#busy.add(name);
    void this.#settleOnce(name);
  }

  async #settleOnce(name: string): Promise<void> {
    let again = true;
    try {
      again = await this.#settleNow(name);
    } catch (error) {
      if (!isConflict(error) && !isNotFound(error)) log.warn({ crd: name, err: error }, "a definition could not be brought forward; tried again");
    }
    this.#busy.delete(name);
    if (again) setTimeout(() => this.#settle(name), RETRY_MS).unref();
  }

  /** Returns whether to come back to it. */
  async #settleNow(name: string): Promise<boolean> {
    const engine = this.#engine as Engine;
    for (;;) {
      const found = cacheOf(engine, CRD).get("", name);
      if (!found || this.#signal?.aborted) return false;
      const crd = crdOf(found.object);
      const now = timestamp(engine.clock.now());
      if (crd.metadata.deletionTimestamp && hasCondition(crd, "Terminating")) return this.#end(crd);
      if (crd.metadata.deletionTimestamp) {
        await engine.client.update(CRD, { ...crd, status: { ...crd.status, conditions: withConditions(crd.status?.conditions ?? [], TERMINATING, now) } }, { subresource: "status" });
        continue;
      }
      const status = namedStatus(crd, this.#all().filter((other) => other.spec.group === crd.spec.group && other.metadata.name !== name), now);
      if (equalJson(status, crd.status)) return false;
      await engine.client.update(CRD, { ...crd, status }, { subresource: "status" });
    }
  }

  /** Deletes all objects of a kind whose definition is being deleted, then lets the definition go. */
  async #end(crd: Crd): Promise<boolean> {
    const { client } = this.#engine as Engine;
    const finalizers = crd.metadata.finalizers ?? [];
    if (!finalizers.includes(CLEANUP_FINALIZER)) return false;
    if (hasCondition(crd, "Established") && (await this.#empty(crd)) > 0) return true;
    await client.update(CRD, { ...crd, metadata: { ...crd.metadata, finalizers: finalizers.filter((name) => name !== CLEANUP_FINALIZER) } });
    return false;
  }

  /** Deletes what is there; returns how many objects remain. */
  async #empty(crd: Crd): Promise<number> {
    const { client } = this.#engine as Engine;
    const kind = this.#served.get(crd.metadata.name as string)?.kinds[0];
    if (!kind) return 0;
    const { items } = await client.list<AnyObject>(kind);
    await Promise.all(items.filter(({ metadata }) => !metadata.deletionTimestamp).map(({ metadata }) => client.delete(kind, { name: metadata.name, namespace: metadata.namespace }).catch((error: unknown) => {
      if (!isNotFound(error)) throw error;
    })));
    return (await client.list(kind, { limit: 1 })).items.length;
  }
}

/** What is served goes by the names that were accepted. */
function withAcceptedNames(crd: Crd): Crd {
  const accepted = crd.status?.acceptedNames;
  return accepted?.kind ? { ...crd, spec: { ...crd.spec, names: { ...accepted } } } : crd;
}
