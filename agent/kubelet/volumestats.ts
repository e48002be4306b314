// How full the volumes behind claims are, read from their file systems when somebody asks.
import { readdir, statfs } from "node:fs/promises";
import { join } from "node:path";
import type { Pod } from "../../api/types.ts";
import type { Paths } from "./paths.ts";

/** One claim's file system, in bytes and inodes. */
export interface ClaimFigures {
  readonly namespace: string;
  readonly claim: string;
  readonly capacityBytes: number;
  readonly availableBytes: number;
  readonly inodes: number;
  readonly inodesFree: number;
}

const LOOK_MS = 1_000;
const MAX_NAMES = 1_000;

/** Names of the persistent volumes claims are bound to; a binding never changes, so each is asked for once. */
export class BoundVolumes {
  readonly #names = new Map<string, string>();

  constructor(readonly read: (namespace: string, claim: string) => Promise<string | undefined>) {}

  /** undefined while the claim is not bound, or nobody can tell. */
  async nameOf(namespace: string, claim: string): Promise<string | undefined> {
    const key = `${namespace}/${claim}`;
    const known = this.#names.get(key);
    if (known !== undefined) return known;
    const name = await this.read(namespace, claim).catch(() => undefined);
    const [oldest] = this.#names.keys();
    if (this.#names.size >= MAX_NAMES && oldest !== undefined) this.#names.delete(oldest);
    if (name !== undefined) this.#names.set(key, name);
    return name;
  }
}

/** The claims these pods have mounted; one whose file system does not answer is left out. */
export async function claimFigures({ paths, boundVolumes }: { readonly paths: Paths; readonly boundVolumes: BoundVolumes }, pods: readonly Pod[]): Promise<ClaimFigures[]> {
  const found = new Map<string, Promise<ClaimFigures | undefined>>();
  for (const pod of pods) {
    const { namespace = "", name = "", uid = "" } = pod.metadata;
    for (const volume of pod.spec?.volumes ?? []) {
      const claim = volume.persistentVolumeClaim?.claimName ?? (volume.ephemeral && `${name}-${volume.name}`);
      if (claim !== undefined) found.set(`${namespace}/${claim}`, boundVolumes.nameOf(namespace, claim).then((bound) => (bound === undefined ? undefined : figuresOf(paths, { uid, volume: bound, namespace, claim }))));
    }
  }
  return (await Promise.all(found.values())).filter((each) => each !== undefined);
}

async function figuresOf(paths: Paths, { uid, volume, namespace, claim }: { uid: string; volume: string; namespace: string; claim: string }): Promise<ClaimFigures | undefined> {
  for (const plugin of await readdir(paths.volumes(uid)).catch(() => [])) {
    // A dead server's file system answers never; the others' figures must not wait for it.
    const answer = await Promise.race([statfs(join(paths.volumes(uid), plugin, volume)).catch(() => undefined), Bun.sleep(LOOK_MS).then(() => undefined)]);
    if (answer) return { namespace, claim, capacityBytes: answer.blocks * answer.bsize, availableBytes: answer.bavail * answer.bsize, inodes: answer.files, inodesFree: answer.ffree };
  }
  return undefined;
}
