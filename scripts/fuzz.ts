// Sends generated and spoilt requests of every kind for some minutes and tells of every reply that no API server may give.
// The same seed makes the same requests; each failing one is written down in full and can be sent again by itself.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { existingTarget, startTarget, type Target } from "./fuzz-parts/control.ts";
import { complaintAbout } from "./fuzz-parts/judge.ts";
import { Random } from "./fuzz-parts/random.ts";
import { Seen } from "./fuzz-parts/seen.ts";
import { Sender, type Protocol, type Reply } from "./fuzz-parts/send.ts";
import { shotOf, type Shot } from "./fuzz-parts/shots.ts";
import { readSurface, type Surface } from "./fuzz-parts/surface.ts";
import { sweep } from "./fuzz-parts/sweep.ts";

const HELP = `scripts/fuzz [--minutes N] [--requests N] [--seed N] [--kubeconfig FILE] [--replay FILE]
  --minutes     how long to go on (10)
  --requests    stop after so many, however long that takes
  --seed        what the requests are made from (the time)
  --kubeconfig  a server that runs already, instead of one started for this
  --replay      send one request again that failed
  --failures    where failing requests are written (a new directory in /tmp)
  --binary      what to start (dist/minik8s)
  --keep        leave the data directory there`;
const { values } = parseArgs({ options: { minutes: { type: "string", default: "10" }, requests: { type: "string" }, seed: { type: "string" }, kubeconfig: { type: "string" }, replay: { type: "string" }, failures: { type: "string" }, binary: { type: "string", default: join(import.meta.dir, "..", "dist", "minik8s") }, keep: { type: "boolean", default: false }, help: { type: "boolean" } } });

const ROUND = 1500;
const SIDE_BY_SIDE = 8;
const MAX_TOLD = 200;
const PULSE_EVERY_MS = 250;
/** A server that does not answer a health check for so long is as good as hung, even on a busy machine. */
const PULSE_LIMIT_MS = 10_000;
/** Memory comes and goes with the collector's rounds: the least of some is compared. */
const EARLY_MS = [60_000, 180_000] as const;
const LATE_MS = 120_000;
/** What it may grow between the second minute and the end, with everything deleted. */
const GROWTH = { share: 1.3, megabytes: 40 };

class Run {
  readonly #sender: Sender;
  readonly #pulse: Sender;
  readonly #seen = new Seen();
  readonly #told = new Map<string, number>();
  readonly #codes = new Map<number, number>();
  readonly #begin = Date.now();
  #next = 0;
  #failures = 0;
  #slowestMs = 0;
  /** After each round's sweep. */
  readonly #memory: { readonly atMs: number; readonly megabytes: number }[] = [];

  constructor(private readonly target: Target, private readonly options: { seed: number; untilMs: number; requests: number; failures: string }) {
    this.#sender = new Sender(target);
    this.#pulse = new Sender(target);
  }

  /** Goes on until time or requests are used up; returns how many things were wrong. */
  async go(): Promise<number> {
    const over = new AbortController();
    const pulse = this.#takePulse(over.signal);
    while (this.target.isAlive() && Date.now() < this.options.untilMs && this.#next < this.options.requests) await this.#round();
    over.abort();
    await pulse;
    await this.#close();
    return this.#failures;
  }

  async #round(): Promise<void> {
    const surface = await this.#surface();
    await sweep(this.#sender, surface.resources);
    const end = Math.min(this.#next + ROUND, this.options.requests);
    await Promise.all(Array.from({ length: SIDE_BY_SIDE }, async () => {
      while (this.#next < end && Date.now() < this.options.untilMs && this.target.isAlive()) await this.#one(this.#next++, surface);
    }));
    await sweep(this.#sender, surface.resources);
    const memory = this.target.memoryMB();
    if (memory !== undefined) this.#memory.push({ atMs: Date.now() - this.#begin, megabytes: memory });
    process.stdout.write(`${((Date.now() - this.#begin) / 1000).toFixed(0).padStart(5)} s  ${this.#next} requests  ${[...this.#codes].toSorted().map(([code, count]) => `${code}:${count}`).join(" ")}  ${memory?.toFixed(0) ?? "?"} MB  slowest health check ${this.#slowestMs.toFixed(0)} ms  ${this.#failures} failed\n`);
  }

  async #one(index: number, surface: Surface): Promise<void> {
    const random = new Random(Math.imul(this.options.seed, 1_000_003) + index);
    const protocol = random.chance(0.7) ? "h2" : "h1";
    const shot = shotOf({ random, surface, seen: this.#seen });
    const reply = await this.#sender.send(shot, protocol);
    this.#codes.set(reply.status, (this.#codes.get(reply.status) ?? 0) + 1);
    if (shot.place && reply.status < 300) this.#learn(shot.place, reply);
    const complaint = complaintAbout(shot, reply);
    // Once the process is gone every request fails.
    if (complaint && (reply.error === undefined || this.target.isAlive())) this.#tell(index, { complaint, shot, protocol, reply });
  }

  #learn(place: string, { body }: Reply): void {
    try {
      this.#seen.learn(place, JSON.parse(body.toString()));
    } catch {
      // Not JSON was asked for.
    }
  }

  #tell(index: number, { complaint, shot, protocol, reply }: { complaint: string; shot: Shot; protocol: Protocol; reply: Reply }): void {
    this.#failures++;
    const text = reply.body.toString().slice(0, 600);
    const likeness = `${complaint} ${shot.method} ${text.replace(/"[^"]*"|\d+/g, "").slice(0, 120)}`;
    const times = (this.#told.get(likeness) ?? 0) + 1;
    this.#told.set(likeness, times);
    if (times > 3 || this.#told.size > MAX_TOLD) return;
    const file = join(this.options.failures, `${index}.json`);
    writeFileSync(file, JSON.stringify({ complaint, protocol, ...shot, body: shot.body?.toString("base64"), reply: { status: reply.status, body: text, error: reply.error } }, null, 1));
    process.stdout.write(`FAIL ${complaint}\n  ${protocol} ${shot.method} ${shot.path.slice(0, 300)} ${JSON.stringify(shot.headers).slice(0, 300)}\n  ${shot.body?.subarray(0, 400).toString() ?? ""}\n  -> ${reply.status} ${text}\n  again: scripts/fuzz --replay ${file}\n`);
  }

  /** Asks for a sign of life all the time. */
  async #takePulse(signal: AbortSignal): Promise<void> {
    while (!signal.aborted && this.target.isAlive()) {
      const shot = { method: "GET", path: "/livez", headers: { accept: "*/*" } };
      const reply = await this.#pulse.send(shot, "h2");
      this.#slowestMs = Math.max(this.#slowestMs, reply.ms);
      if (this.target.isAlive() && (reply.status !== 200 || reply.ms > PULSE_LIMIT_MS)) this.#tell(-1, { complaint: `a health check took ${reply.ms.toFixed(0)} ms`, shot, protocol: "h2", reply });
      await Bun.sleep(PULSE_EVERY_MS);
    }
  }

  async #surface(): Promise<Surface> {
    return readSurface(async (path, accept) => JSON.parse((await this.#sender.send({ method: "GET", path, headers: { accept } }, "h2")).body.toString()) as unknown);
  }

  async #close(): Promise<void> {
    if (!this.target.isAlive()) {
      this.#failures++;
      process.stdout.write(`FAIL the server ended by itself:\n${this.target.log().slice(-4000)}\n`);
    }
    this.#judgeMemory();
    this.#sender.close();
    this.#pulse.close();
  }

  #judgeMemory(): void {
    const endMs = Date.now() - this.#begin;
    const least = (from: number, to: number): number => Math.min(...this.#memory.filter(({ atMs }) => atMs >= from && atMs <= to).map(({ megabytes }) => megabytes));
    const [early, late] = [least(...EARLY_MS), least(endMs - LATE_MS, endMs)];
    if (endMs < EARLY_MS[1] + LATE_MS || !Number.isFinite(early) || !Number.isFinite(late)) return;
    const isFlat = late <= early * GROWTH.share + GROWTH.megabytes;
    process.stdout.write(`${isFlat ? "" : "FAIL "}memory: ${early.toFixed(0)} MB after two minutes, ${late.toFixed(0)} MB at the end\n`);
    if (!isFlat) this.#failures++;
  }
}

async function replay(target: Target, file: string): Promise<void> {
  const { body, protocol, ...shot } = JSON.parse(readFileSync(file, "utf8")) as Omit<Shot, "body"> & { body?: string; protocol: Protocol };
  const sender = new Sender(target);
  const reply = await sender.send({ ...shot, ...(body !== undefined && { body: Buffer.from(body, "base64") }) }, protocol);
  process.stdout.write(`${shot.method} ${shot.path}\n-> ${reply.status} ${reply.error ?? ""} ${reply.body.toString().slice(0, 4000)}\n`);
  sender.close();
}

async function main(): Promise<number> {
  if (values.help) {
    process.stdout.write(`${HELP}\n`);
    return 0;
  }
  const seed = Number(values.seed ?? Date.now() % 1_000_000);
  const failures = values.failures ?? `/tmp/minik8s-fuzz-failures-${seed}`;
  mkdirSync(failures, { recursive: true });
  const target = values.kubeconfig ? existingTarget(values.kubeconfig) : await startTarget(values.binary, { keep: values.keep });
  try {
    if (values.replay) {
      await replay(target, values.replay);
      return 0;
    }
    process.stdout.write(`seed ${seed}, ${target.url.origin}\n`);
    const run = new Run(target, { seed, untilMs: Date.now() + Number(values.minutes) * 60_000, requests: Number(values.requests ?? Number.MAX_SAFE_INTEGER), failures });
    const count = await run.go();
    process.stdout.write(count === 0 ? "nothing was wrong\n" : `${count} replies were wrong; seed ${seed}\n`);
    return count === 0 ? 0 : 1;
  } finally {
    await target.stop();
  }
}

process.exit(await main());
