// Pulls and what decides about them: how many at once, with which credential, and who may use what is there.
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { FakeClock } from "../../lib/clock.ts";
import { eventually } from "../../lib/testing.ts";
import { FakeRuntime } from "../runtime/fake.ts";
import { RuntimeError, type ImageService, type RegistryAuth } from "../runtime/runtime.ts";
import { aPod } from "./builders.ts";
import type { Credential } from "./credentials.ts";
import { Images, type ImageRequest } from "./images.ts";
import { needsVerification, PullRecords, type VerificationPolicy } from "./pullrecords.ts";

const directory = mkdtempSync("/tmp/mk8s-images-");
afterAll(() => rmSync(directory, { recursive: true, force: true }));
const clock = new FakeClock(0);
const records = (name: string, verification: VerificationPolicy = { policy: "NeverVerifyPreloadedImages", preloadedImages: [] }): PullRecords => new PullRecords({ directory: `${directory}/${name}`, clock, verification });
const credential = (user: string, uid: string, hash = user): Credential => ({ auth: { username: user, password: "p" }, hash, source: { kind: "secret", uid, namespace: "default", name: uid } });
const ask = (overrides: Partial<ImageRequest> = {}): ImageRequest => ({ pod: aPod(), about: {}, reference: "r.io/app:1", policy: "IfNotPresent", credentials: () => Promise.resolve([]), signal: new AbortController().signal, ...overrides });

function rig(name: string, options: { pull?: ImageService["pull"]; maxParallelPulls?: number } = {}) {
  const runtime = new FakeRuntime({ clock });
  const pull = options.pull ?? ((reference, auth, signal) => runtime.images.pull(reference, auth, signal));
  const images: ImageService = { ...runtime.images, pull };
  return { runtime, images: new Images({ images, clock, recorder: { event: () => undefined }, records: records(name), maxParallelPulls: options.maxParallelPulls ?? 5 }) };
}

test.each([1, 2])("no more than %i pulls go on at once, and all are done", async (maxParallelPulls) => {
  const begun: string[] = [];
  let running = 0;
  let most = 0;
  const { runtime, images } = rig(`parallel-${maxParallelPulls}`, { maxParallelPulls, pull: async (reference, auth, signal) => {
    begun.push(reference);
    most = Math.max(most, ++running);
    await Bun.sleep(5);
    running--;
    return runtime.images.pull(reference, auth, signal);
  } });
  const references = ["a:1", "b:1", "c:1", "d:1"];
  await Promise.all(references.map((reference) => images.ensure(ask({ reference }))));
  expect([most, begun.sort()]).toEqual([maxParallelPulls, references]);
});

test("a pod's waits for images are told once where they overlap, until the pod is forgotten", async () => {
  const pulls = new Map(["a:1", "b:1"].map((reference) => [reference, { begun: Promise.withResolvers<void>(), end: Promise.withResolvers<void>() }]));
  const { runtime, images } = rig("waits", { pull: async (reference, auth, signal) => {
    pulls.get(reference)?.begun.resolve();
    await pulls.get(reference)?.end.promise;
    return runtime.images.pull(reference, auth, signal);
  } });
  const begin = async (reference: string): Promise<() => Promise<unknown>> => {
    const image = images.ensure(ask({ reference }));
    await pulls.get(reference)?.begun.promise;
    return () => {
      pulls.get(reference)?.end.resolve();
      return image;
    };
  };
  const endFirst = await begin("a:1");
  await clock.advance(100);
  const endSecond = await begin("b:1");
  await clock.advance(100);
  await endFirst();
  await clock.advance(50);
  await endSecond();
  const uid = aPod().metadata.uid ?? "";
  expect(images.pulledMs(uid)).toBe(250);
  images.forgetPod(uid);
  expect(images.pulledMs(uid)).toBe(0);
});

test("credentials are tried in order until one works; when none does, all answers are told", async () => {
  const tried: (string | undefined)[] = [];
  const pull = (right: string) => (reference: string, auth: RegistryAuth | undefined, signal: AbortSignal) => {
    tried.push(auth?.username);
    return auth?.username === right ? new FakeRuntime().images.pull(reference, auth, signal) : Promise.reject(new RuntimeError("ErrImagePull", `${auth?.username} is not welcome`));
  };
  const credentials = () => Promise.resolve([credential("one", "s1"), credential("two", "s2")]);
  const failure = await rig("none", { pull: pull("nobody") }).images.ensure(ask({ credentials })).catch((error: unknown) => error);
  expect((failure as Error).message).toBe("[one is not welcome, two is not welcome]");
  const { runtime, images } = rig("second", { pull: pull("two") });
  runtime.addImage("r.io/app:1");
  await images.ensure(ask({ policy: "Always", credentials }));
  expect(tried).toEqual(["one", "two", "one", "two"]);
});

test("an image pulled with a secret is there for that secret, for the same credential elsewhere, and for nobody else", async () => {
  const own = records("own");
  await own.begin("r.io/app:1");
  await own.succeeded("r.io/app:1", "sha256:1", credential("u", "s1"));
  const must = (all: Credential[], kept = own): Promise<boolean> => kept.mustPull("r.io/app:1", "sha256:1", () => Promise.resolve(all));
  expect(await must([])).toBe(true);
  expect(await must([credential("v", "s2")])).toBe(true);
  expect(await must([credential("u", "s1")])).toBe(false);
  // The same secret with a new password, and another secret with the same one: both are remembered.
  expect(await must([credential("new", "s1")])).toBe(false);
  expect(await must([credential("new", "s3")])).toBe(false);
  expect(await must([credential("new", "s3")], records("own"))).toBe(false);
  await own.prune(new Set());
  expect(await must([])).toBe(false);
});

test("an image pulled without a secret is everybody's, and so is one that was there before", async () => {
  const open = records("open");
  expect(await open.mustPull("r.io/app:1", "sha256:1", () => Promise.resolve([]))).toBe(false);
  await open.begin("r.io/app:1");
  await open.succeeded("r.io/app:1", "sha256:1", undefined);
  expect(await open.mustPull("r.io/app:1", "sha256:1", () => Promise.resolve([]))).toBe(false);
  await open.begin("r.io/app:1");
  await open.succeeded("r.io/app:1", "sha256:1", credential("u", "s1"));
  expect(await open.mustPull("r.io/app:1", "sha256:1", () => Promise.resolve([]))).toBe(false);
});

test("the policy says which images need proof", () => {
  const needs = (policy: VerificationPolicy["policy"], isKnown: boolean, preloadedImages: string[] = []): boolean => needsVerification({ policy, preloadedImages }, "r.io/team/app:1", isKnown);
  expect([needs("NeverVerify", true), needs("AlwaysVerify", false), needs("NeverVerifyPreloadedImages", false), needs("NeverVerifyPreloadedImages", true)]).toEqual([false, true, false, true]);
  expect([needs("NeverVerifyAllowlistedImages", true, ["r.io/team/*"]), needs("NeverVerifyAllowlistedImages", true, ["r.io/team/app"]), needs("NeverVerifyAllowlistedImages", false, ["r.io/other"])]).toEqual([false, false, true]);
});

test("a burst of pulls begins at once, the others at the pace that was set", async () => {
  const paced = new FakeClock(0);
  const runtime = new FakeRuntime({ clock: paced });
  const begun: number[] = [];
  const images = new Images({
    images: { ...runtime.images, pull: (reference, auth, signal) => {
      begun.push(paced.monotonic());
      return runtime.images.pull(reference, auth, signal);
    } },
    clock: paced, recorder: { event: () => undefined }, records: records("paced"), maxParallelPulls: 10, pace: { perSecond: 2, burst: 2 },
  });
  const all = Promise.all(["a:1", "b:1", "c:1", "d:1"].map((reference) => images.ensure(ask({ reference }))));
  const until = async (count: number): Promise<void> => {
    await eventually(`${count} pulls`, () => begun.length >= count);
  };
  await until(2);
  for (const count of [3, 4]) {
    await paced.advance(500);
    await until(count);
  }
  await all;
  expect(begun).toEqual([0, 0, 500, 1000]);
});
