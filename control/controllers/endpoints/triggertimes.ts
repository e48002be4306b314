// When the change happened that endpoints are written for: what measures how fast a cluster follows its pods reads it.
// Rules: k8s.io/endpointslice/util (trigger time tracker); a service and a pod that change twice between two rounds count once.
import type { Key } from "../../../api/client/informer.ts";
import type { Pod, Service, Stored } from "../../../api/types.ts";
import { podCondition } from "../pods.ts";

export const TRIGGER_TIME = "endpoints.kubernetes.io/last-change-trigger-time";

interface Known {
  readonly service: string;
  readonly pods: ReadonlyMap<string, string>;
}

/** What was known of each service when it was last looked at. */
export class TriggerTimes {
  readonly #known = new Map<Key, Known>();

  /** The oldest change since the last call for this service, as a timestamp; undefined when nothing changed. */
  of(key: Key, service: Stored<Service>, pods: readonly Stored<Pod>[]): string | undefined {
    const before = this.#known.get(key);
    const created = service.metadata.creationTimestamp;
    const changes = new Map(pods.flatMap((pod) => {
      const time = podCondition(pod, "Ready")?.lastTransitionTime;
      return time === undefined ? [] : [[pod.metadata.name, time]];
    }));
    this.#known.set(key, { service: created, pods: changes });
    if (!before) return created;
    const fresh = [...changes].filter(([name, time]) => isAfter(time, before.pods.get(name))).map(([, time]) => time);
    if (isAfter(created, before.service)) fresh.push(created);
    return fresh.reduce<string | undefined>((oldest, time) => (oldest === undefined || isAfter(oldest, time) ? time : oldest), undefined);
  }

  forget(key: Key): void {
    this.#known.delete(key);
  }
}

/** The annotations with the time, or without one where nothing is known of it. */
export function withTriggerTime(annotations: Readonly<Record<string, string>> | undefined, time: string | undefined): Record<string, string> {
  const { [TRIGGER_TIME]: _, ...others } = annotations ?? {};
  return time === undefined ? others : { ...others, [TRIGGER_TIME]: time };
}

function isAfter(time: string, other: string | undefined): boolean {
  return other === undefined || Date.parse(time) > Date.parse(other);
}
