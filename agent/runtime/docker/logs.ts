// The log followers of all containers of a Docker engine: one for each container that runs or has output left.
// Rewriting one log is `log-follower.ts`.
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { LogFollower } from "./log-follower.ts";

/** Followers by container id, their positions kept in a directory. */
export class DockerLogs {
  readonly #directory: string;
  readonly #followers = new Map<string, Promise<LogFollower>>();

  constructor(directory: string) {
    this.#directory = directory;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  }

  /** Follows a container's log; resolves once its target file exists. Does nothing when it is followed already. */
  async follow(id: string, source: string, target: string): Promise<void> {
    if (this.#followers.has(id) || existsSync(this.#donePath(id))) return;
    const follower = new LogFollower({ source, target, position: this.#positionPath(id) });
    const started = follower.start().then(() => follower);
    this.#followers.set(id, started);
    await started;
  }

  /** Resolves once everything an ended container has printed is in its file; nothing follows it any more. */
  async finish(id: string): Promise<void> {
    const follower = await this.#followers.get(id);
    if (!follower) return;
    await follower.stop();
    this.#followers.delete(id);
    writeFileSync(this.#donePath(id), "");
  }

  async reopen(id: string): Promise<void> {
    await (await this.#followers.get(id))?.reopen();
  }

  /** Forgets a removed container. */
  async remove(id: string): Promise<void> {
    await this.finish(id).catch(() => undefined);
    for (const path of [this.#positionPath(id), this.#donePath(id)]) rmSync(path, { force: true });
  }

  /** Forgets containers that went while nobody looked. */
  retain(ids: ReadonlySet<string>): void {
    for (const file of readdirSync(this.#directory)) if (!ids.has(file.split(".")[0] ?? "")) rmSync(join(this.#directory, file), { force: true });
  }

  /** Keeps positions; a later `follow` goes on from there. */
  async close(): Promise<void> {
    await Promise.allSettled([...this.#followers.values()].map(async (follower) => (await follower).stop()));
    this.#followers.clear();
  }

  #positionPath(id: string): string {
    return join(this.#directory, `${id}.position`);
  }

  #donePath(id: string): string {
    return join(this.#directory, `${id}.done`);
  }
}
