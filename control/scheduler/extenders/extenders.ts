// All extenders together: each narrows what the one before left, their scores add up, and any may object to victims.
// Asking takes time in which the cluster goes on: what they say is put to the cluster as it is then.
import type { Cycle, Decision, Diagnosis } from "../cycle.ts";
import { logger } from "../../../lib/log.ts";
import { unresolvable, unschedulable, type Status } from "../framework.ts";
import type { NodeState } from "../nodestate.ts";
import type { PodInfo } from "../podinfo.ts";
import type { Candidate } from "../preemption.ts";
import type { ExtenderConfig } from "./config.ts";
import { Extender } from "./extender.ts";

/** No plugin's word: any event may help such a pod. */
const NOBODY = "";
const log = logger("scheduler");

export class Extenders {
  readonly #all: readonly Extender[];

  constructor(configs: readonly ExtenderConfig[] = []) {
    this.#all = configs.map((config) => new Extender(config));
  }

  /** Whether anybody outside is to be asked before this pod is placed. */
  concern(info: PodInfo): boolean {
    return this.#asked(info, "filterVerb").length + this.#asked(info, "prioritizeVerb").length + this.#asked(info, "preemptVerb").length > 0;
  }

  /** Who binds the pod instead of the scheduler. */
  binderOf(info: PodInfo): Extender | undefined {
    return this.#asked(info, "bindVerb")[0];
  }

  /** Throws when one that must be asked does not answer. */
  async decide(info: PodInfo, cycle: Cycle): Promise<Decision> {
    const found = cycle.candidates(info);
    if ("failed" in found) return found;
    const { nodes, statuses } = await this.#filter(info, found.feasible);
    if (nodes.length === 0) return { failed: refused(found.diagnosis, statuses) };
    const only = new Set(nodes.map(({ name }) => name));
    const decision = cycle.decide(info, { only, scores: await this.#prioritize(info, nodes) });
    if ("failed" in decision) throw new Error("the cluster changed while extenders were asked");
    return decision;
  }

  /** The candidates all that have a say agree to. */
  async preempt(info: PodInfo, candidates: readonly Candidate[]): Promise<readonly Candidate[]> {
    let left = candidates;
    for (const extender of this.#asked(info, "preemptVerb")) {
      if (left.length === 0) break;
      left = (await this.#answered(extender, info, () => extender.preempt(info, left))) ?? left;
    }
    return left;
  }

  async #filter(info: PodInfo, feasible: readonly NodeState[]): Promise<{ nodes: readonly NodeState[]; statuses: Map<NodeState, Status> }> {
    const statuses = new Map<NodeState, Status>();
    let nodes = feasible;
    for (const extender of this.#asked(info, "filterVerb")) {
      if (nodes.length === 0) break;
      const answer = await this.#answered(extender, info, () => extender.filter(info, nodes));
      if (!answer) continue;
      for (const node of nodes) {
        const [hopeless, failed] = [answer.unresolvable[node.name], answer.failed[node.name]];
        if (hopeless !== undefined) statuses.set(node, unresolvable(NOBODY, hopeless));
        else if (failed !== undefined) statuses.set(node, unschedulable(NOBODY, failed));
        else if (!answer.names.has(node.name)) statuses.set(node, { code: "Unschedulable", reasons: [], plugin: NOBODY });
      }
      nodes = nodes.filter(({ name }) => answer.names.has(name));
    }
    return { nodes, statuses };
  }

  /** One that does not answer gives no scores; that holds nobody up. */
  async #prioritize(info: PodInfo, nodes: readonly NodeState[]): Promise<Map<string, number>> {
    const total = new Map<string, number>();
    const answers = await Promise.all(this.#asked(info, "prioritizeVerb").map((extender) => extender.prioritize(info, nodes).catch((err: unknown) => {
      log.debug({ err, pod: info.key, extender: extender.config.urlPrefix }, "an extender gave no scores");
      return new Map<string, number>();
    })));
    for (const scores of answers) for (const [name, score] of scores) total.set(name, (total.get(name) ?? 0) + score);
    return total;
  }

  /** Undefined for one whose silence is to be ignored. */
  async #answered<T>(extender: Extender, info: PodInfo, ask: () => Promise<T>): Promise<T | undefined> {
    try {
      return await ask();
    } catch (err) {
      if (!extender.config.isIgnorable) throw err;
      log.info({ error: (err as Error).message, pod: info.key, extender: extender.config.urlPrefix }, "an extender that may be ignored failed");
      return undefined;
    }
  }

  #asked(info: PodInfo, verb: "filterVerb" | "prioritizeVerb" | "preemptVerb" | "bindVerb"): Extender[] {
    return this.#all.filter((extender) => extender.config[verb] !== "" && extender.concerns(info.pod));
  }
}

function refused(diagnosis: Diagnosis, statuses: ReadonlyMap<NodeState, Status>): Diagnosis {
  return { ...diagnosis, byNode: new Map([...diagnosis.byNode, ...statuses]), plugins: new Set([...diagnosis.plugins, NOBODY]) };
}
