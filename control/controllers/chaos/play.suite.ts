// Plays a scenario: a storm in which everybody does what they like, then calm, then rest, in which nobody may do anything any more.
// Which scenarios there are is the tests' business.
import { test } from "bun:test";
import { configureLogging } from "../../../lib/log.ts";
import { TEST_TIMEOUT_MS } from "../../../lib/testing.ts";
import { check, World, type WorldOptions } from "./world.suite.ts";
import { generateName } from "../../apiserver/verbs/generate-name.ts";
import { seeded, type Random } from "./weather.suite.ts";
import { Kubelets, type KubeletOptions } from "./kubelets.suite.ts";

/** One thing somebody does; its name is told when the scenario fails. */
export type Action = readonly [name: string, act: () => Promise<unknown>];

/** What a scenario is made of in one world. */
export interface Script {
  /** What users, nodes and others do during the storm, each time chosen anew. */
  readonly actions: readonly Action[];
  /** What goes on all the time, storm, calm or rest: at least three times a minute. */
  readonly breathe?: () => Promise<unknown>;
  /** What must hold at every instant. */
  readonly always?: () => Promise<void>;
  /** Called again and again in the calm, for what does not come to rest without somebody outside. */
  readonly tend?: () => Promise<unknown>;
  /** What must hold at rest. */
  readonly atRest: () => Promise<void>;
}

export interface Scenario extends Omit<WorldOptions, "seed"> {
  readonly kubelets?: KubeletOptions;
  /** Steps of the storm; 40 when left out. */
  readonly steps?: number;
  /** The date is set forward and back. */
  readonly setsDate?: boolean;
  /** How long one step may last; 3 s when left out. */
  readonly stepMs?: number;
  /** Calls a minute of rest may cost; none when left out. */
  readonly callsAtRest?: number;
  readonly script: (world: World, kubelets: Kubelets) => Promise<Script>;
}

const FIXED_SEEDS = 6;
const MAX_CALM_ROUNDS = 60;
const MAX_REST_ROUNDS = 6;
const ROUND_MS = 20_000;
const REST_MS = 10 * 60_000;

/** The seeds of this run: a few fixed ones, more by MINIK8S_SEEDS, one by MINIK8S_SEED. */
function seeds(): number[] {
  const { MINIK8S_SEED: one, MINIK8S_SEEDS: count } = process.env;
  if (one !== undefined) return [Number(one)];
  return Array.from({ length: Number(count ?? FIXED_SEEDS) }, (_, index) => index + 1);
}

/** A test for each seed. */
export function plays(name: string, scenario: Scenario): void {
  test.each(seeds())(`${name} (seed %p)`, async (seed) => {
    const restore = foreseeable(seeded(seed));
    try {
      await play(scenario, seed);
    } catch (error) {
      (error as Error).message = `${(error as Error).message}\nreplay with: MINIK8S_SEED=${seed} bun test control/controllers/chaos -t ${JSON.stringify(name)}`;
      throw error;
    } finally {
      restore();
    }
  }, TEST_TIMEOUT_MS);
}

/** Whatever is left to chance in the process is decided by the seed; returns how to undo that. */
function foreseeable(random: Random): () => void {
  const { random: chance } = Math;
  const { randomUUID, getRandomValues } = crypto;
  Math.random = random;
  crypto.randomUUID = () => `${hex(random, 8)}-${hex(random, 4)}-4${hex(random, 3)}-8${hex(random, 3)}-${hex(random, 12)}`;
  crypto.getRandomValues = (array) => {
    return array instanceof Uint8Array ? fill(array, random) : array;
  };
  // Names are made of what was drawn in advance: that has to be used up first.
  for (let names = 0; names < 1000; names++) generateName("");
  return () => {
    Math.random = chance;
    Object.assign(crypto, { randomUUID, getRandomValues });
  };
}

function fill<T extends Uint8Array>(array: T, random: Random): T {
  for (const at of array.keys()) array[at] = Math.floor(random() * 256);
  return array;
}

const hex = (random: Random, digits: number): string => Array.from({ length: digits }, () => Math.floor(random() * 16).toString(16)).join("");

async function play(scenario: Scenario, seed: number): Promise<void> {
  // Thousands of calls fail here on purpose; what matters of them is in the story.
  configureLogging({ level: "fatal", human: false });
  const world = await World.create({ seed, ...scenario });
  const kubelets = new Kubelets(world, scenario.kubelets);
  try {
    const script = await scenario.script(world, kubelets);
    world.start();
    await storm(world, kubelets, { scenario, script });
    world.calm();
    await calm(world, kubelets, script);
    // What was put off for minutes comes now.
    for (let rounds = 0; rounds < MAX_REST_ROUNDS && !(await isQuiet(world, script)); rounds++) await calm(world, kubelets, script);
    await rest(world, { scenario, script });
    await script.atRest();
  } finally {
    await world.stop();
    configureLogging({ level: "info", human: false });
  }
}

async function storm(world: World, kubelets: Kubelets, { scenario, script }: { scenario: Scenario; script: Script }): Promise<void> {
  const { steps = 40, stepMs = 3000, setsDate = false } = scenario;
  world.storm();
  for (let step = 0; step < steps; step++) {
    if (world.chance(0.08)) {
      world.tell("the controllers crash");
      world.crash();
    } else if (setsDate && world.chance(0.05)) setDate(world);
    else if (world.chance(0.6)) {
      const [name, act] = world.pick(script.actions);
      world.tell(name);
      await act();
    }
    await kubelets.moveSome();
    await pass(world, script, world.random() ** 2 * stepMs);
    await script.always?.();
  }
}

function setDate(world: World): void {
  const ms = Math.round((world.random() - 0.4) * 20 * 60_000);
  world.tell(`the date is set by ${ms} ms`);
  world.clock.jump(ms);
}

async function calm(world: World, kubelets: Kubelets, script: Script): Promise<void> {
  for (let round = 0, quiet = 0; quiet < 3; round++) {
    check(world, round < MAX_CALM_ROUNDS, "it never comes to rest");
    const before = world.traffic.writes;
    const hasMoved = await kubelets.catchUp();
    await script.tend?.();
    await pass(world, script, round < 20 ? 2000 : ROUND_MS);
    await script.always?.();
    quiet = hasMoved || world.traffic.writes !== before ? 0 : quiet + 1;
  }
}

/** Lets time pass, with whatever goes on in it. */
async function pass(world: World, { breathe }: Script, ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= ROUND_MS) {
    await breathe?.();
    await world.pass(Math.min(left, ROUND_MS));
  }
}

async function isQuiet(world: World, script: Script): Promise<boolean> {
  const { writes } = world.traffic;
  await pass(world, script, REST_MS);
  return world.traffic.writes === writes;
}

async function rest(world: World, { scenario: { callsAtRest = 0 }, script }: { scenario: Scenario; script: Script }): Promise<void> {
  const { writes, calls } = world.traffic;
  await pass(world, script, REST_MS);
  check(world, world.traffic.writes === writes, `${world.traffic.writes - writes} writes at rest`);
  const most = (callsAtRest * REST_MS) / 60_000;
  check(world, world.traffic.calls - calls <= most, `${world.traffic.calls - calls} calls at rest, ${most} allowed`);
}
