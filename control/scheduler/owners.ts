// What selects the pods a pod is naturally spread with: the Services in front of it and the controller that owns it.
// Answers are remembered until a Service or an owner changes.
import type { Informer, Informers } from "../../api/client/informer.ts";
import { builtinKind } from "../../api/registry.ts";
import { EVERYTHING, LabelMatcher, matcherOfLabels } from "../../api/selectors.ts";
import type { KubeObject, LabelSelector, Service } from "../../api/types.ts";
import { compileSelector, type PodInfo } from "./podinfo.ts";

/** Services, ReplicaSets and their like: a selector in the spec. */
interface Selecting extends KubeObject {
  spec?: { selector?: unknown };
}

const MAX_REMEMBERED = 20_000;

/** Finds the default spreading selector of pods. */
export class OwnerSelectors {
  readonly #known = new Map<string, LabelMatcher>();
  readonly #services: Informer<Service>;
  readonly #owners: ReadonlyMap<string, Informer<KubeObject>>;

  constructor(informers: Informers) {
    this.#services = informers.for<Service>(builtinKind("", "v1", "Service"));
    this.#owners = new Map([
      ["v1/ReplicationController", informers.for<KubeObject>(builtinKind("", "v1", "ReplicationController"))],
      ["apps/v1/ReplicaSet", informers.for<KubeObject>(builtinKind("apps", "v1", "ReplicaSet"))],
      ["apps/v1/StatefulSet", informers.for<KubeObject>(builtinKind("apps", "v1", "StatefulSet"))],
    ]);
    const forget = (): void => this.#known.clear();
    const forgetIfChanged = (now: KubeObject, old: KubeObject): void => {
      if (selectorText(now) !== selectorText(old)) forget();
    };
    this.#services.addHandler({ add: forget, delete: forget, update: forgetIfChanged });
    for (const informer of this.#owners.values()) informer.addHandler({ add: forget, delete: forget, update: forgetIfChanged });
  }

  /** The selector; an empty one when nothing selects or owns the pod. */
  of(pod: PodInfo): LabelMatcher {
    const owner = pod.pod.metadata.ownerReferences?.find((o) => o.controller);
    const key = `${pod.identity.id}/${owner?.uid ?? ""}`;
    let selector = this.#known.get(key);
    if (!selector) {
      if (this.#known.size >= MAX_REMEMBERED) this.#known.clear();
      selector = this.#find(pod, owner);
      this.#known.set(key, selector);
    }
    return selector;
  }

  #find({ identity }: PodInfo, owner: { apiVersion: string; kind: string; name: string } | undefined): LabelMatcher {
    const labels: Record<string, string> = {};
    for (const service of this.#services.lister.inNamespace(identity.namespace)) {
      const selector = service.spec?.selector;
      if (selector && matcherOfLabels(selector).matches(identity.labels)) Object.assign(labels, selector);
    }
    const informer = owner && this.#owners.get(`${owner.apiVersion}/${owner.kind}`);
    const selector = informer && (informer.lister.get(`${identity.namespace}/${owner.name}`) as Selecting | undefined)?.spec?.selector;
    if (owner?.kind === "ReplicationController") Object.assign(labels, selector);
    const byLabels = Object.keys(labels).length > 0 ? matcherOfLabels(labels) : EVERYTHING;
    if (!selector || owner?.kind === "ReplicationController") return byLabels;
    return new LabelMatcher([...byLabels.requirements, ...compileSelector(selector as LabelSelector).requirements]);
  }
}

function selectorText(object: KubeObject): string {
  return JSON.stringify((object as Selecting).spec?.selector) ?? "";
}
