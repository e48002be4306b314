// Recounts what a namespace uses of its ResourceQuotas whenever something is given back or a quota changes.
// What is taken is booked by admission before the write; how much an object uses is `api/quota`'s business.
import { keyOf, type Informer, type Key } from "../../api/client/informer.ts";
import { KINDS, type KindInfo } from "../../api/kinds.ts";
import type { ResourceList } from "../../api/podresources.ts";
import { compareQuantities, formatQuantity, parseQuantity, subtractQuantities } from "../../api/quantity.ts";
import { isInScope } from "../../api/quota/scopes.ts";
import { addUsage, isUncounted, resourcesUsedBy, usageOf } from "../../api/quota/usage.ts";
import type { KindRegistry } from "../../api/registry.ts";
import type { AnyObject, ResourceQuota, Stored } from "../../api/types.ts";
import { KindController, type Controller, type ControllerDeps } from "./controller.ts";
import { metadataScope, RESOURCE_QUOTA } from "./kinds.ts";
import { isSame } from "./template.ts";

const NAME = "resourcequota-controller";
/** A recount in any case, as upstream: bookings of writes that failed in odd ways come right by it. */
const RESYNC_MS = 5 * 60_000;
/** How long a write may take from being booked to being stored. */
const LANDING_MS = 500;
const BUILTIN = new Set(KINDS.map(({ group, plural }) => `${group}/${plural}`));

export function resourceQuotaController(deps: ControllerDeps): Controller {
  return new ResourceQuotaController(deps);
}

/** What a quota had booked when less was found to be there. */
interface Doubt {
  readonly since: number;
  readonly booked: Readonly<Record<string, string>>;
}

class ResourceQuotaController extends KindController<ResourceQuota> {
  readonly #kinds: KindRegistry;
  readonly #objects = new Map<string, Informer<AnyObject>>();
  readonly #doubts = new Map<Key, Doubt>();

  constructor(deps: ControllerDeps) {
    super(deps, { name: NAME, kind: RESOURCE_QUOTA });
    this.#kinds = deps.kinds;
    for (const kind of KINDS) if (isCounted(kind)) this.#watch(deps, kind);
  }

  protected override isWorthwhile(quota: Stored<ResourceQuota>, old: Stored<ResourceQuota>): boolean {
    return !isSame(quota.spec, old.spec) || !isSame(quota.status?.hard, quota.spec?.hard);
  }

  #watch({ informers }: ControllerDeps, kind: KindInfo): void {
    const informer = informers.for<AnyObject>(kind, metadataScope(kind));
    informer.addHandler({
      update: (object, old) => {
        const quotas = this.objects.lister.inNamespace(object.metadata.namespace ?? "");
        if (quotas.length > 0 && !isSame(usageOf(kind, object, this.clock.now()), usageOf(kind, old, this.clock.now()))) this.#enqueue(kind, quotas);
      },
      delete: (object) => this.#enqueue(kind, this.objects.lister.inNamespace(object.metadata.namespace ?? "")),
    });
    this.#objects.set(`${kind.group}/${kind.plural}`, informer);
  }

  #enqueue(kind: KindInfo, quotas: readonly Stored<ResourceQuota>[]): void {
    for (const quota of quotas) if (resourcesUsedBy(kind, Object.keys(quota.spec?.hard ?? {})).length > 0) this.queue.add(keyOf(quota));
  }

  protected async reconcile(key: Key): Promise<void> {
    const quota = this.objects.lister.get(key);
    if (!quota) return void this.#doubts.delete(key);
    const hard = quota.spec?.hard ?? {};
    let used = await this.#usedOf(quota, false);
    if (isLower(used, quota.status?.used)) {
      const certain = await this.#lowered(key, quota);
      if (!certain) return;
      used = certain;
    } else this.#doubts.delete(key);
    if (!isSame(quota.status?.hard, hard) || !isSameUsage(quota.status?.used, used)) {
      await this.client.update<ResourceQuota>(RESOURCE_QUOTA, { ...quota, status: { hard, used } }, { subresource: "status" });
    }
    if (!this.#doubts.has(key)) this.queue.addAfter(key, RESYNC_MS);
  }

  /**
   * What was booked is not there: either it is gone, or its write is still on its way. Only when writes have had
   * time to land is it given to others, and what was booked since then is not. Undefined while that is waited for.
   */
  async #lowered(key: Key, quota: Stored<ResourceQuota>): Promise<Record<string, string> | undefined> {
    const booked = quota.status?.used ?? {};
    const doubt = this.#doubts.get(key) ?? { since: this.clock.monotonic(), booked };
    this.#doubts.set(key, doubt);
    const left = doubt.since + LANDING_MS - this.clock.monotonic();
    if (left > 0) return void this.queue.addAfter(key, left);
    const used = await this.#usedOf(quota, true);
    const since = growth(booked, doubt.booked);
    this.#doubts.delete(key);
    if (Object.keys(since).length === 0) return used;
    // Counted twice where it has landed already: looked at again.
    this.#doubts.set(key, { since: this.clock.monotonic(), booked });
    this.queue.addAfter(key, LANDING_MS);
    return addUsage(used, Object.fromEntries(Object.entries(since).filter(([name]) => used[name] !== undefined)));
  }

  async #usedOf(quota: Stored<ResourceQuota>, isLive: boolean): Promise<Record<string, string>> {
    const counts = await Promise.all(this.#kinds.all().filter((kind) => isCounted(kind)).map((kind) => this.#count(quota, kind, isLive)));
    const total = counts.reduce(addUsage, {});
    return Object.fromEntries(Object.keys(quota.spec?.hard ?? {}).map((name) => [name, total[name] ?? "0"]));
  }

  /** What objects of one kind use of the quota's resources. */
  async #count(quota: Stored<ResourceQuota>, kind: KindInfo, isLive: boolean): Promise<ResourceList> {
    const names = resourcesUsedBy(kind, Object.keys(quota.spec?.hard ?? {}));
    if (names.length === 0) return {};
    let total: ResourceList = {};
    for (const object of await this.#objectsOf(kind, quota.metadata.namespace ?? "", isLive)) {
      if (!isInScope(quota.spec, kind, object)) continue;
      const usage = usageOf(kind, object, this.clock.now());
      total = addUsage(total, Object.fromEntries(names.flatMap((name) => (usage[name] === undefined ? [] : [[name, usage[name] as string]]))));
    }
    return total;
  }

  /** Custom kinds come and go, so they are asked for instead of watched. */
  async #objectsOf(kind: KindInfo, namespace: string, isLive: boolean): Promise<readonly Stored<AnyObject>[]> {
    const informer = isLive ? undefined : this.#objects.get(`${kind.group}/${kind.plural}`);
    return informer ? informer.lister.inNamespace(namespace) : (await this.client.list<AnyObject>(kind, { namespace })).items;
  }
}

function isCounted(kind: KindInfo): boolean {
  const isWatchable = ["list", "watch", "create"].every((verb) => (kind.verbs as readonly string[]).includes(verb));
  return kind.namespaced && !kind.storedAs && isWatchable && !isUncounted(kind) && (BUILTIN.has(`${kind.group}/${kind.plural}`) || kind.group !== "");
}

/** By how much amounts are more than they were. */
function growth(now: Readonly<Record<string, string>>, before: Readonly<Record<string, string>>): Record<string, string> {
  const grown = Object.entries(now).filter(([name, value]) => before[name] !== undefined && compareQuantities(parseQuantity(value), parseQuantity(before[name])) > 0);
  return Object.fromEntries(grown.map(([name, value]) => [name, formatQuantity(subtractQuantities(parseQuantity(value), parseQuantity(before[name] as string)))]));
}

/** Whether anything is less than it was. */
function isLower(used: Readonly<Record<string, string>>, before: Readonly<Record<string, string>> = {}): boolean {
  return Object.entries(used).some(([name, value]) => before[name] !== undefined && compareQuantities(parseQuantity(value), parseQuantity(before[name])) < 0);
}

/** `1` and `1000m` are the same amount. */
function isSameUsage(a: Readonly<Record<string, string>> | undefined, b: Readonly<Record<string, string>>): boolean {
  const names = Object.keys(b);
  return a !== undefined && Object.keys(a).length === names.length
    && names.every((name) => a[name] !== undefined && compareQuantities(parseQuantity(a[name]), parseQuantity(b[name] as string)) === 0);
}
