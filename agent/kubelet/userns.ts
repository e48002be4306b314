// User namespaces of pods: a range of the host's user ids for each pod that wants to be root only inside of itself.
// A pod's range is kept beside it on disk, so that a restarted agent gives it to nobody else.
import { readdirSync } from "node:fs";
import { mkdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Pod } from "../../api/types.ts";
import type { Paths } from "./paths.ts";
import { readOrEmpty } from "../../lib/files.ts";

/** Host ids from `hostId` on, as many as `length`. */
export interface IdRange {
  readonly hostId: number;
  readonly length: number;
}

/** No range can be given; becomes FailedCreatePodSandBox. */
export class UserNamespaceError extends Error {
  override readonly name = "UserNamespaceError";
}

export interface UserNamespacesOptions {
  readonly paths: Paths;
  readonly idsPerPod: number;
  /** What /etc/subuid says; ids of the user `kubelet` there are the ones to use. */
  readonly subuid?: string;
}

const ALL_IDS = 2 ** 32;
const FILE = "userns";

export class UserNamespaces {
  readonly #used = new Map<string, number>();
  readonly #range: IdRange;

  constructor(readonly options: UserNamespacesOptions) {
    this.#range = usableRange(options.subuid ?? readOrEmpty("/etc/subuid"), options.idsPerPod);
    for (const uid of directories(options.paths.pods)) this.#recall(uid);
  }

  /** The pod's range, given to it now where it has none; undefined for pods that share the host's users. Rejects with UserNamespaceError. */
  async of(pod: Pod): Promise<IdRange | undefined> {
    if (pod.spec?.hostUsers !== false) return undefined;
    const uid = pod.metadata.uid ?? "";
    const known = this.known(pod);
    if (known) return known;
    const { idsPerPod } = this.options;
    const taken = new Set(this.#used.values());
    const last = this.#range.hostId + this.#range.length - idsPerPod;
    for (let hostId = this.#range.hostId; hostId <= last; hostId += idsPerPod) {
      if (taken.has(hostId)) continue;
      this.#used.set(uid, hostId);
      await this.#keep(uid, { hostId, length: idsPerPod });
      return { hostId, length: idsPerPod };
    }
    throw new UserNamespaceError("create user namespace: could not find an empty slot to allocate a user namespace");
  }

  /** The range a pod already has. */
  known(pod: Pod): IdRange | undefined {
    const hostId = this.#used.get(pod.metadata.uid ?? "");
    return hostId === undefined ? undefined : { hostId, length: this.options.idsPerPod };
  }

  forget(uid: string): void {
    this.#used.delete(uid);
  }

  #recall(uid: string): void {
    const text = readOrEmpty(join(this.options.paths.pod(uid), FILE));
    if (text !== "") this.#used.set(uid, (JSON.parse(text) as IdRange).hostId);
  }

  async #keep(uid: string, range: IdRange): Promise<void> {
    const file = join(this.options.paths.pod(uid), FILE);
    await mkdir(this.options.paths.pod(uid), { recursive: true, mode: 0o750 });
    await writeFile(`${file}.new`, JSON.stringify(range));
    await rename(`${file}.new`, file);
  }
}

/** The ids the machine's administrator set aside, else all but the first block, which is the host's own. */
export function usableRange(subuid: string, idsPerPod: number): IdRange {
  const line = subuid.split("\n").find((one) => one.startsWith("kubelet:"));
  if (line === undefined) return { hostId: idsPerPod, length: ALL_IDS - idsPerPod };
  const [, first = 0, count = 0] = line.split(":").map(Number);
  const hostId = Math.max(idsPerPod, Math.ceil(first / idsPerPod) * idsPerPod);
  return { hostId, length: Math.max(0, first + count - hostId) };
}

function directories(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}
