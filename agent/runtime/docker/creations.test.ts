// An engine's directory as one that died leaves it; what is mounted there is said, and unmounting is noted.
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FakeClock } from "../../../lib/clock.ts";
import { Creations, type CreationsDeps } from "./creations.ts";

const NOW = Date.parse("2026-01-31T12:00:00Z");
let dir: string;
let stop: AbortController;
const mounted = new Set<string>();
let looks = 0;
const clock = new FakeClock(NOW);

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "creations-"));
  stop = new AbortController();
  mounted.clear();
  looks = 0;
  mkdirSync(join(dir, "root", "overlay2", "l"), { recursive: true });
  mkdirSync(join(dir, "root", "image", "overlay2", "layerdb", "mounts"), { recursive: true });
});
afterEach(() => {
  stop.abort();
  rmSync(dir, { recursive: true, force: true });
});

const died = (): Promise<never> => Promise.reject(new Error("socket hang up"));
const images: CreationsDeps["docker"] = { getImage: (name: string) => ({ inspect: () => Promise.resolve({ GraphDriver: { Name: "overlay2", Data: { UpperDir: join(dir, "root", "overlay2", `of-${name}`, "diff") } } }) }) } as unknown as CreationsDeps["docker"];

function anAgent(): Creations {
  const exec: CreationsDeps["exec"] = (command) => Promise.resolve((mounted.delete(command.at(-1) ?? ""), { exitCode: 0, stdout: "", stderr: "" }));
  return new Creations({ directory: join(dir, "notes"), docker: images, rootDir: join(dir, "root"), exec, clock, signal: stop.signal, mountPoints: () => Promise.resolve((looks++, [...mounted])) });
}

/** A first layer, mounted, as the engine makes it on an image. */
function firstLayer(name: string, { image = "app:1", madeAt = clock.now() }: { image?: string; madeAt?: number } = {}): string {
  const layers = join(dir, "root", "overlay2");
  mkdirSync(join(layers, name));
  writeFileSync(join(layers, name, "lower"), `l/TOP-${name}:l/BASE`);
  writeFileSync(join(layers, name, "link"), name);
  utimesSync(join(layers, name, "link"), madeAt / 1000, madeAt / 1000);
  symlinkSync(`../of-${image}/diff`, join(layers, "l", `TOP-${name}`));
  mounted.add(join(layers, name, "merged"));
  return join(layers, name, "merged");
}

const notes = (): string[] => readdirSync(join(dir, "notes"));

/** Lets time pass until it holds. */
async function until(condition: () => boolean): Promise<void> {
  for (; !condition(); await clock.advance(1_000)) await Bun.sleep(2);
}

test("what a dead engine had mounted for a creation nobody answered is unmounted, and nothing else is", async () => {
  const others = [firstLayer("of-another-image-init", { image: "other:1" }), firstLayer("made-before-init", { madeAt: clock.now() - 60_000 }), firstLayer("a-running-container"), firstLayer("recorded-init")];
  mkdirSync(join(dir, "root", "image", "overlay2", "layerdb", "mounts", "c"));
  writeFileSync(join(dir, "root", "image", "overlay2", "layerdb", "mounts", "c", "init-id"), "recorded-init");
  const agent = anAgent();
  const ours = await agent.during("app:1", () => (firstLayer("ours-init"), died())).catch(() => join(dir, "root", "overlay2", "ours-init", "merged"));
  expect(mounted).toContain(ours);
  await until(() => notes().length === 0);
  expect([...mounted]).toEqual(others);
});

test("an agent that dies with its engine leaves a note, by which the next one finds the mount", async () => {
  void anAgent().during("app:1", () => new Promise(() => {}));
  firstLayer("ours-init");
  void anAgent().tidy();
  await until(() => notes().length === 0);
  expect([...mounted]).toEqual([]);
});

test("a creation that is still under way keeps its first layer, and one that was answered is not looked for", async () => {
  const agent = anAgent();
  const slow = firstLayer("slow-init");
  await agent.during("app:1", died).catch(() => undefined);
  await until(() => looks > 0);
  mounted.delete(slow);
  const next = firstLayer("next-init");
  await until(() => notes().length === 0);
  expect([...mounted]).toEqual([next]);
  await agent.during("app:1", () => Promise.reject(Object.assign(new Error("conflict"), { statusCode: 409 }))).catch(() => undefined);
  expect(notes()).toEqual([]);
});
