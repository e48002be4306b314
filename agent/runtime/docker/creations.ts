// What an engine that dies in the midst of creating a container leaves mounted: it mounts the first layer before it has any record of it.
// What is asked for is noted on disk until it is answered, so that such a mount can be told from everybody else's.
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { readlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type Docker from "dockerode";
import { nanoid } from "nanoid";
import type { Clock } from "../../../lib/clock.ts";
import type { Exec } from "../../../lib/exec.ts";
import { logger } from "../../../lib/log.ts";
import { mountTable } from "../../volumes/mounttable.ts";
import { askIfPresent, statusCode } from "./engine.ts";

const log = logger("runtime");
/** An engine that lives mounts a first layer for milliseconds. */
const SETTLE_MS = 10_000;
/** File systems take the time from the kernel's last tick. */
const TICK_MS = 1_000;

interface Creation {
  readonly image: string;
  /** Milliseconds since the epoch. */
  readonly beganAt: number;
}

export interface CreationsDeps {
  /** Where what was asked for is noted. */
  readonly directory: string;
  readonly docker: Pick<Docker, "getImage">;
  /** The engine's own directory. */
  readonly rootDir: string;
  readonly exec: Exec;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** The kernel's own when left out. */
  readonly mountPoints?: () => Promise<readonly string[]>;
}

/** The creations of one agent's containers. */
export class Creations {
  readonly #deps: CreationsDeps;
  readonly #underWay = new Set<string>();
  #isTidying = false;

  constructor(deps: CreationsDeps) {
    this.#deps = deps;
    mkdirSync(deps.directory, { recursive: true, mode: 0o700 });
  }

  /** Settles as `create` does. Where the engine never answered, what it may have left mounted is looked for afterwards. */
  async during<T>(image: string, create: () => Promise<T>): Promise<T> {
    const note = nanoid();
    this.#underWay.add(note);
    writeFileSync(this.#path(note), JSON.stringify({ image, beganAt: this.#deps.clock.now() } satisfies Creation));
    let isAnswered = true;
    try {
      return await create();
    } catch (error) {
      isAnswered = statusCode(error) !== undefined;
      throw error;
    } finally {
      this.#underWay.delete(note);
      if (isAnswered) rmSync(this.#path(note), { force: true });
      else void this.tidy();
    }
  }

  /** Unmounts what creations that nobody answered have left; resolves when there are no such any more. */
  async tidy(): Promise<void> {
    if (this.#isTidying) return;
    this.#isTidying = true;
    const { clock, signal } = this.#deps;
    const suspects = new Map<string, readonly string[]>();
    while (!signal.aborted) {
      const notes = this.#cutOff();
      if (notes.length === 0) break;
      for (const note of notes) await this.#look(note, suspects).catch((error: unknown) => log.debug({ err: error }, "could not look for what a creation left mounted"));
      await clock.sleep(SETTLE_MS, signal);
    }
    this.#isTidying = false;
  }

  /** Only what is there twice belongs to nobody: a creation may be under way yet. */
  async #look(note: string, suspects: Map<string, readonly string[]>): Promise<void> {
    const mounts = await this.#leftMounts(JSON.parse(readFileSync(this.#path(note), "utf8")) as Creation);
    const before = suspects.get(note);
    suspects.set(note, mounts);
    if (!before) return;
    for (const mount of mounts.filter((path) => before.includes(path))) {
      await this.#deps.exec(["umount", "--lazy", mount]);
      log.info({ mount }, "unmounted what an engine that died had mounted for a container it never made");
    }
    rmSync(this.#path(note), { force: true });
  }

  /** First layers on this image that were made since, and that the engine has in no record. */
  async #leftMounts({ image, beganAt }: Creation): Promise<string[]> {
    const { docker, rootDir, mountPoints = kernelMountPoints } = this.#deps;
    const layers = join(rootDir, "overlay2");
    const points = (await mountPoints()).filter((point) => dirname(dirname(point)) === layers && point.endsWith("-init/merged"));
    if (points.length === 0) return [];
    const driver = (await askIfPresent("Unavailable", () => docker.getImage(image).inspect()))?.GraphDriver;
    if (driver?.Name !== "overlay2") return [];
    const top = (driver.Data as { UpperDir?: string }).UpperDir ?? "";
    const recorded = recordedLayers(rootDir);
    const found = await Promise.all(points.map(async (point) => {
      const layer = dirname(point);
      const isOurs = !recorded.has(basename(layer)) && statSync(join(layer, "link")).mtimeMs + TICK_MS >= beganAt && (await layerBelow(layer)) === top;
      return isOurs ? [point] : [];
    }));
    return found.flat();
  }

  #cutOff(): string[] {
    return readdirSync(this.#deps.directory).filter((note) => !this.#underWay.has(note));
  }

  #path(note: string): string {
    return join(this.#deps.directory, note);
  }
}

const kernelMountPoints = async (): Promise<string[]> => (await mountTable()).map(({ point }) => point);

/** The first layers of all containers the engine knows. */
function recordedLayers(rootDir: string): Set<string> {
  const records = join(rootDir, "image", "overlay2", "layerdb", "mounts");
  return new Set(readdirSync(records).map((container) => {
    try {
      return readFileSync(join(records, container, "init-id"), "utf8");
    } catch {
      return "";
    }
  }));
}

/** The directory of the layer that this one lies upon. */
async function layerBelow(layer: string): Promise<string> {
  const link = readFileSync(join(layer, "lower"), "utf8").split(":")[0] ?? "";
  return join(dirname(layer), "l", await readlink(join(dirname(layer), link)));
}
