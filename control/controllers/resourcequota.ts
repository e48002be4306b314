// Recounts what a namespace uses of its ResourceQuotas whenever something is given back or a quota changes.
// What is taken is booked by admission before the write; how much an object uses is `api/quota`'s business.
import type { Client } from "../../api/client/client.ts";
import { keyOf, type Informer, type Key } from "../../api/client/informer.ts";
import { WorkQueue } from "../../api/client/workqueue.ts";
import { KINDS, type KindInfo } from "../../api/kinds.ts";
import type { ResourceList } from "../../api/podresources.ts";
import { compareQuantities, parseQuantity } from "../../api/quantity.ts";
import { isInScope } from "../../api/quota/scopes.ts";
import { addUsage, isUncounted, resourcesUsedBy, usageOf } from "../../api/quota/usage.ts";
import type { KindRegistry } from "../../api/registry.ts";
import type { AnyObject, ResourceQuota, Stored } from "../../api/types.ts";
import type { Clock } from "../../lib/clock.ts";
import { controllerOf, telling, type Controller, type ControllerDeps } from "./controller.ts";
import { metadataScope, RESOURCE_QUOTA } from "./kinds.ts";
import { isSame } from "./template.ts";

const NAME = "resourcequota-controller";
/** A recount in any case, as upstream: bookings of writes that failed in odd ways come right by it. */
const RESYNC_MS = 5 * 60_000;
const BUILTIN = new Set(KINDS.map(({ group, plural }) => `${group}/${plural}`));

export function resourceQuotaController(deps: ControllerDeps): Controller {
  return new ResourceQuotaController(deps).controller;
}

class ResourceQuotaController {
  readonly controller: Controller;
  readonly #client: Client;
  readonly #clock: Clock;
  readonly #kinds: KindRegistry;
  readonly #quotas: Informer<ResourceQuota>;
  readonly #objects = new Map<string, Informer<AnyObject>>();
  readonly #queue: WorkQueue;

  constructor(deps: ControllerDeps) {
    this.#client = deps.clientFor(NAME);
    this.#clock = deps.clock;
    this.#kinds = deps.kinds;
    this.#quotas = deps.informers.for<ResourceQuota>(RESOURCE_QUOTA);
    this.#queue = new WorkQueue({ clock: deps.clock });
    this.#quotas.addHandler({
      add: (quota) => this.#queue.add(keyOf(quota)),
      update: (quota, old) => (isSame(quota.spec, old.spec) && isSame(quota.status?.hard, quota.spec?.hard) ? undefined : this.#queue.add(keyOf(quota))),
    });
    for (const kind of KINDS) if (isCounted(kind)) this.#watch(deps, kind);
    this.controller = controllerOf({ name: NAME, queue: this.#queue, informers: deps.informers, reconcile: (key) => this.#reconcile(key), subject: telling(deps, NAME, this.#quotas) });
  }

  #watch({ informers }: ControllerDeps, kind: KindInfo): void {
    const informer = informers.for<AnyObject>(kind, metadataScope(kind));
    informer.addHandler({
      update: (object, old) => {
        const quotas = this.#quotas.lister.inNamespace(object.metadata.namespace ?? "");
        if (quotas.length > 0 && !isSame(usageOf(kind, object, this.#clock.now()), usageOf(kind, old, this.#clock.now()))) this.#enqueue(kind, quotas);
      },
      delete: (object) => this.#enqueue(kind, this.#quotas.lister.inNamespace(object.metadata.namespace ?? "")),
    });
    this.#objects.set(`${kind.group}/${kind.plural}`, informer);
  }

  #enqueue(kind: KindInfo, quotas: readonly Stored<ResourceQuota>[]): void {
    for (const quota of quotas) if (resourcesUsedBy(kind, Object.keys(quota.spec?.hard ?? {})).length > 0) this.#queue.add(keyOf(quota));
  }

  async #reconcile(key: Key): Promise<void> {
    const quota = this.#quotas.lister.get(key);
    if (!quota) return;
    const hard = quota.spec?.hard ?? {};
    let used = await this.#usedOf(quota, false);
    // What was booked and is not in the caches yet must not be given away again.
    if (isLower(used, quota.status?.used)) used = await this.#usedOf(quota, true);
    if (!isSame(quota.status?.hard, hard) || !isSameUsage(quota.status?.used, used)) {
      await this.#client.update<ResourceQuota>(RESOURCE_QUOTA, { ...quota, status: { hard, used } }, { subresource: "status" });
    }
    this.#queue.addAfter(key, RESYNC_MS);
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
      const usage = usageOf(kind, object, this.#clock.now());
      total = addUsage(total, Object.fromEntries(names.flatMap((name) => (usage[name] === undefined ? [] : [[name, usage[name] as string]]))));
    }
    return total;
  }

  /** Custom kinds come and go, so they are asked for instead of watched. */
  async #objectsOf(kind: KindInfo, namespace: string, isLive: boolean): Promise<readonly Stored<AnyObject>[]> {
    const informer = isLive ? undefined : this.#objects.get(`${kind.group}/${kind.plural}`);
    return informer ? informer.lister.inNamespace(namespace) : (await this.#client.list<AnyObject>(kind, { namespace })).items;
  }
}

function isCounted(kind: KindInfo): boolean {
  const isWatchable = ["list", "watch", "create"].every((verb) => (kind.verbs as readonly string[]).includes(verb));
  return kind.namespaced && !kind.storedAs && isWatchable && !isUncounted(kind) && (BUILTIN.has(`${kind.group}/${kind.plural}`) || kind.group !== "");
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
