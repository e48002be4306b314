// ControllerRevisions: numbered snapshots of what StatefulSets and DaemonSets were, for telling pods apart and rolling back.
// Rules: k8s.io/kubernetes/pkg/controller/history.
import type { Client } from "../../api/client/client.ts";
import { isAlreadyExists, isNotFound } from "../../api/errors.ts";
import type { KindInfo } from "../../api/kinds.ts";
import type { ControllerRevision, KubeObject, PodTemplateSpec, Stored } from "../../api/types.ts";
import { CONTROLLER_REVISION } from "./kinds.ts";
import { newControllerRef } from "./owners.ts";
import { hashTemplate, isSame } from "./template.ts";

export const REVISION_HASH = "controller.kubernetes.io/hash";
/** The label pods carry their revision in. */
export const POD_REVISION = "controller-revision-hash";

/** The owner whose history it is. */
export interface Historian {
  readonly client: Client;
  readonly kind: KindInfo;
  readonly owner: Stored<KubeObject>;
  readonly template: PodTemplateSpec;
  readonly collisionCount: number;
  /** The label a revision carries its hash in; `controller.kubernetes.io/hash` when left out. */
  readonly hashLabel?: string;
}

/** The snapshot of the owner's present template, and how many hashes were taken by others on the way to its name. */
export interface Snapshot {
  readonly revision: Stored<ControllerRevision>;
  readonly collisionCount: number;
}

/** Oldest first: by number, then by age. */
export function sortRevisions(revisions: readonly Stored<ControllerRevision>[]): Stored<ControllerRevision>[] {
  return revisions.toSorted((a, b) => a.revision - b.revision || a.metadata.creationTimestamp.localeCompare(b.metadata.creationTimestamp) || a.metadata.name.localeCompare(b.metadata.name));
}

/** The template a revision remembers. */
export function templateOf(revision: ControllerRevision): PodTemplateSpec {
  const { $patch: _, ...template } = ((revision.data as { spec?: { template?: object } } | undefined)?.spec?.template ?? {}) as Record<string, unknown>;
  return template as PodTemplateSpec;
}

/** Finds the revision of the present template among the sorted ones, brings it to the front, or makes it. */
export async function snapshot(historian: Historian, sorted: readonly Stored<ControllerRevision>[]): Promise<Snapshot> {
  const { client, collisionCount, template } = historian;
  const newest = sorted.at(-1);
  const number = (newest?.revision ?? 0) + 1;
  const equal = sorted.findLast((revision) => isSame(templateOf(revision), template));
  if (!equal) return create(historian, number);
  if (equal === newest || (newest && isSame(templateOf(newest), template))) return { revision: newest ?? equal, collisionCount };
  return { revision: await client.update<ControllerRevision>(CONTROLLER_REVISION, { ...equal, revision: number }), collisionCount };
}

/** The revisions beyond the limit that neither `live` names nor anyone needs, oldest first. */
export function beyondLimit(sorted: readonly Stored<ControllerRevision>[], live: ReadonlySet<string>, limit: number): Stored<ControllerRevision>[] {
  const idle = sorted.filter(({ metadata }) => !live.has(metadata.name));
  return idle.slice(0, Math.max(0, idle.length - limit));
}

export async function deleteRevisions(client: Client, revisions: readonly Stored<ControllerRevision>[]): Promise<void> {
  for (const { metadata: { name, namespace } } of revisions) {
    try {
      await client.delete(CONTROLLER_REVISION, { name, namespace });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }
}

async function create(historian: Historian, number: number): Promise<Snapshot> {
  const { client, owner } = historian;
  for (let collisionCount = historian.collisionCount; ; collisionCount++) {
    const wanted = newRevision(historian, number, collisionCount);
    try {
      return { revision: await client.create<ControllerRevision>(CONTROLLER_REVISION, wanted), collisionCount };
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
      const existing = await client.get<ControllerRevision>(CONTROLLER_REVISION, { name: wanted.metadata.name as string, namespace: owner.metadata.namespace });
      if (isSame(existing.data, wanted.data)) return { revision: existing, collisionCount };
    }
  }
}

function newRevision({ kind, owner, template, hashLabel = REVISION_HASH }: Historian, revision: number, collisionCount: number): ControllerRevision {
  const hash = hashTemplate(template, collisionCount);
  const { name, namespace, annotations } = owner.metadata;
  return {
    apiVersion: "apps/v1", kind: "ControllerRevision",
    metadata: {
      name: `${name.slice(0, 223)}-${hash}`, namespace,
      labels: { ...template.metadata?.labels, [hashLabel]: hash },
      ...(annotations && { annotations: { ...annotations } }),
      ownerReferences: [newControllerRef(kind, owner)],
    },
    data: inOrder({ spec: { template: { ...template, $patch: "replace" } } }) as never,
    revision,
  };
}

/** Every object's keys in order, at every depth: clients look for the revision of an object by its bytes. */
function inOrder(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(inOrder);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([key, part]) => [key, inOrder(part)]));
}
