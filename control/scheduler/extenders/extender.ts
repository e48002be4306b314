// One extender over HTTP: which of these nodes, how good each, whether these victims, and the binding itself.
// Wire format: k8s.io/kube-scheduler/extender/v1, whose fields Go reads in any case.
import type { Node, Pod, Stored } from "../../../api/types.ts";
import type { NodeState } from "../nodestate.ts";
import type { PodInfo } from "../podinfo.ts";
import type { Candidate } from "../preemption.ts";
import type { ExtenderConfig } from "./config.ts";

/** What a filter call left. */
export interface Filtered {
  readonly names: ReadonlySet<string>;
  readonly failed: Readonly<Record<string, string>>;
  readonly unresolvable: Readonly<Record<string, string>>;
}

type Answer = Readonly<Record<string, unknown>>;

/** Upstream's scores go to 100, an extender's to 10. */
const SCORE_FACTOR = 10;

export class Extender {
  constructor(readonly config: ExtenderConfig) {}

  /** Whether it has a say about this pod at all. */
  concerns({ spec }: Pod): boolean {
    const { managedResources } = this.config;
    if (managedResources.length === 0) return true;
    const containers = [...(spec?.initContainers ?? []), ...(spec?.containers ?? [])];
    return containers.some(({ resources }) => managedResources.some((name) => resources?.requests?.[name] !== undefined || resources?.limits?.[name] !== undefined));
  }

  async filter({ pod }: PodInfo, nodes: readonly NodeState[]): Promise<Filtered> {
    const answer = await this.#ask(this.config.filterVerb, this.#about(pod, nodes));
    if (answer["error"]) throw new Error(String(answer["error"]));
    const offered = new Set(nodes.map(({ name }) => name));
    const names = new Set(namesIn(answer));
    for (const name of names) if (!offered.has(name)) throw new Error(`extender "${this.config.urlPrefix}" claims a filtered node "${name}" which is not found in the input node list`);
    return { names, failed: (answer["failednodes"] ?? {}) as Filtered["failed"], unresolvable: (answer["failedandunresolvablenodes"] ?? {}) as Filtered["failed"] };
  }

  /** What it adds to each node's score. */
  async prioritize({ pod }: PodInfo, nodes: readonly NodeState[]): Promise<Map<string, number>> {
    const scores = await this.#send<readonly Answer[] | null>(this.config.prioritizeVerb, this.#about(pod, nodes));
    return new Map((scores ?? []).map(lowered).map(({ host, score }) => [String(host), Number(score ?? 0) * this.config.weight * SCORE_FACTOR]));
  }

  /** The candidates it agrees to, each with the victims it wants. */
  async preempt({ pod }: PodInfo, candidates: readonly Candidate[]): Promise<Candidate[]> {
    const victims = (of: (pod: Stored<Pod>) => unknown): Record<string, unknown> => Object.fromEntries(candidates.map((c) => [c.node.name, { Pods: c.victims.map((victim) => of(victim.pod)), NumPDBViolations: c.violations }]));
    const told = this.config.nodeCacheCapable ? { NodeNameToMetaVictims: victims(({ metadata: { uid } }) => ({ UID: uid })) } : { NodeNameToVictims: victims((victim) => victim) };
    const answer = await this.#ask(this.config.preemptVerb, { Pod: pod, ...told });
    const chosen = (answer["nodenametometavictims"] ?? {}) as Readonly<Record<string, Answer>>;
    return candidates.flatMap((candidate) => {
      const wanted = chosen[candidate.node.name];
      return wanted ? [this.#agreed(candidate, lowered(wanted))] : [];
    });
  }

  /** Throws when the pod was not bound. */
  async bind({ pod }: PodInfo, nodeName: string): Promise<void> {
    const { name, namespace, uid } = pod.metadata;
    const { error } = await this.#ask(this.config.bindVerb, { PodName: name, PodNamespace: namespace, PodUID: uid, Node: nodeName });
    if (error) throw new Error(String(error));
  }

  #agreed({ node }: Candidate, wanted: Answer): Candidate {
    const uids = ((wanted["pods"] ?? []) as readonly Answer[]).map((each) => String(lowered(each)["uid"]));
    const victims = uids.map((uid) => {
      const victim = node.pods.get(uid);
      if (!victim) throw new Error(`extender: ${this.config.urlPrefix} claims to preempt pod (UID: ${uid}) on node: ${node.name}, but the pod is not found on that node`);
      return victim;
    });
    if (victims.length === 0) throw new Error(`expected at least one victim pod on node "${node.name}"`);
    return { node, victims, violations: Number(wanted["numpdbviolations"] ?? 0) };
  }

  #about(pod: Pod, nodes: readonly NodeState[]): object {
    if (this.config.nodeCacheCapable) return { Pod: pod, Nodes: null, NodeNames: nodes.map(({ name }) => name) };
    return { Pod: pod, Nodes: { metadata: {}, items: nodes.map(({ node }) => node) }, NodeNames: null };
  }

  async #ask(verb: string, body: object): Promise<Answer> {
    return lowered(await this.#send<Answer>(verb, body));
  }

  async #send<T>(verb: string, body: object): Promise<T> {
    const { urlPrefix, timeoutMs, tls } = this.config;
    const url = `${urlPrefix}/${verb}`;
    const response = await fetch(url, { method: "POST", body: JSON.stringify(body), headers: { "content-type": "application/json" }, signal: AbortSignal.timeout(timeoutMs), tls });
    if (response.status !== 200) throw new Error(`failed ${verb} with extender at URL ${url}, code ${response.status}`);
    return (await response.json()) as T;
  }
}

function namesIn(answer: Answer): string[] {
  const names = answer["nodenames"] as readonly string[] | null | undefined;
  if (names) return [...names];
  const nodes = answer["nodes"] as { readonly items?: readonly Node[] | null } | null | undefined;
  return (nodes?.items ?? []).map(({ metadata }) => metadata.name ?? "");
}

function lowered(answer: Answer): Answer {
  return Object.fromEntries(Object.entries(answer).map(([key, value]) => [key.toLowerCase(), value]));
}
