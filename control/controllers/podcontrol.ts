// Makes and deletes pods on behalf of an owner, saying so in events on that owner.
import type { Client } from "../../api/client/client.ts";
import type { EventRecorder } from "../../api/client/recorder.ts";
import { isNamespaceTerminating, isNotFound, mayHaveLanded } from "../../api/errors.ts";
import type { KindInfo } from "../../api/kinds.ts";
import type { KubeObject, Pod, PodTemplateSpec, Stored } from "../../api/types.ts";
import { newControllerRef } from "./owners.ts";
import { POD } from "./kinds.ts";

/** The owner acting, and with what. */
export interface PodOwner {
  readonly client: Client;
  readonly recorder: EventRecorder;
  readonly kind: KindInfo;
  readonly owner: Stored<KubeObject>;
}

/** The pod a template describes, owned; named `<owner>-xxxxx` by the server unless `name` says otherwise. */
export function podFromTemplate(kind: KindInfo, owner: Stored<KubeObject>, template: PodTemplateSpec, name?: string): Pod {
  const { labels, annotations, finalizers } = template.metadata ?? {};
  const prefix = `${owner.metadata.name}-`;
  return {
    apiVersion: "v1", kind: "Pod",
    metadata: {
      ...(name === undefined ? { generateName: prefix } : { name }),
      namespace: owner.metadata.namespace,
      ...(labels && { labels: { ...labels } }), ...(annotations && { annotations: { ...annotations } }),
      ...(finalizers?.length && { finalizers: [...finalizers] }),
      ownerReferences: [newControllerRef(kind, owner)],
    },
    spec: template.spec,
  };
}

/** Creates a pod; a failure is an event and is thrown, except that a namespace on its way out is silent. */
export async function createPod({ client, recorder, owner }: PodOwner, pod: Pod): Promise<Stored<Pod>> {
  try {
    const created = await client.create<Pod>(POD, pod);
    recorder.event(owner, "Normal", "SuccessfulCreate", `Created pod: ${created.metadata.name}`);
    return created;
  } catch (error) {
    if (!isNamespaceTerminating(error)) recorder.event(owner, "Warning", "FailedCreate", `Error creating: ${(error as Error).message}`);
    throw error;
  }
}

/** Deletes a pod; one that is gone already counts as deleted. An answer that got lost is asked for again. */
export async function deletePod({ client, recorder, owner }: PodOwner, pod: Stored<Pod>): Promise<void> {
  const { name, namespace, uid } = pod.metadata;
  const attempt = (): Promise<void> => client.delete(POD, { name, namespace }, { preconditions: { uid } });
  try {
    await attempt().catch((error: unknown) => {
      if (!mayHaveLanded(error)) throw error;
      return attempt();
    });
    recorder.event(owner, "Normal", "SuccessfulDelete", `Deleted pod: ${name}`);
  } catch (error) {
    if (isNotFound(error)) return;
    recorder.event(owner, "Warning", "FailedDelete", `Error deleting: ${(error as Error).message}`);
    throw error;
  }
}

/**
 * Runs `count` calls in batches of 1, 2, 4, ...: when all would fail alike, few are tried.
 * Returns how many succeeded and the first error.
 */
export async function slowStart(count: number, call: (index: number) => Promise<void>): Promise<{ succeeded: number; error: unknown }> {
  let succeeded = 0;
  let begun = 0;
  for (let size = Math.min(count, 1); size > 0; size = Math.min(2 * size, count - begun)) {
    const results = await Promise.allSettled(Array.from({ length: size }, (_, index) => call(begun + index)));
    begun += size;
    succeeded += results.filter((result) => result.status === "fulfilled").length;
    const failed = results.find((result) => result.status === "rejected");
    if (failed) return { succeeded, error: failed.reason };
  }
  return { succeeded, error: undefined };
}
