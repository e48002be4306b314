// One node of the lab under fault: what runs it is killed at random moments of its pods' lives, and nothing may be left behind.
// Each runtime's test file says which runtime it is.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { findDaemons } from "../agent/runtime/containerd/machine.ts";
import { deadMount } from "../agent/volumes/deadmount.ts";
import { cpuMicros, memoryMB } from "../scripts/bench-parts/process.ts";
import { census, nothingLeft, settledCensus, type CensusTarget } from "./census.ts";
import { describeDebug } from "./debug.suite.ts";
import { describeFigures } from "./figures.suite.ts";
import { describeLogs } from "./logs.suite.ts";
import { describePhases } from "./phases.suite.ts";
import { describeResize } from "./resize.suite.ts";
import { eventually, Kubectl, must, sampleImage } from "./support.ts";

const LAB = join(import.meta.dir, "..", "scripts", "lab");
const SEEDS = Number(process.env["MINIK8S_FAULT_SEEDS"] ?? 4);
const FIRST_SEED = Number(process.env["MINIK8S_FAULT_FIRST_SEED"] ?? 1);
const VICTIMS = ["agent", "runtime", "both"] as const;
/** A pod needs about this long to be made, and to be taken away. */
const LIFE_MS = 1_500;
const SETTLE_MS = 120_000;

/** A lab of one node on this runtime, as it meets kill -9. */
export function describeFaults(runtime: "containerd" | "docker"): void {
  const name = `${process.env["MINIK8S_LAB"] ?? "faults"}-${runtime}`;
  const directory = `/var/lib/minik8s-lab-${name}`;
  const env = { MINIK8S_LAB: name };
  const lab = (...args: string[]): Promise<string> => must([LAB, ...args], { env, timeoutMs: 240_000 });
  const kubectl = new Kubectl(join(directory, "admin.conf"));
  const target: CensusTarget = { dataDir: join(directory, "node-1"), netns: `m8lab-${name}-1`, runtime };
  const podsOf = (round: string): Promise<string> => kubectl.run("get", "pods", "--selector", `round=${round}`, "--output", "name");

  beforeAll(async () => {
    await lab("up", "1", "--runtime", runtime);
    await lab("load", await sampleImage());
    // What the first pod of a kind makes for good is not a leak of the later ones.
    await kubectl.apply(podsFor("warm"));
    await kubectl.run("wait", "--for=condition=Ready", "pod", "--selector", "round=warm,lasts=yes", "--timeout=90s");
    await kubectl.run("delete", "pods", "--selector", "round=warm", "--timeout=60s");
  }, 300_000);

  afterAll(() => lab("down"), 240_000);

  describeLogs(runtime, kubectl);
  describeResize(runtime, kubectl);
  describeFigures(runtime, kubectl, target.netns);
  describeDebug(runtime, kubectl);
  describePhases({ runtime, kubectl, target, lab });

  describe(`a node on ${runtime}`, () => {
    test(`kill -9 of agent, runtime and both, at ${SEEDS} seeds' moments of its pods' lives, leaves nothing behind`, async () => {
      const before = await settledCensus(target);
      for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed++) {
        const random = generator(seed);
        const round = `s${seed}`;
        await kubectl.apply(podsFor(round));
        await killed(random, VICTIMS[seed % VICTIMS.length] as (typeof VICTIMS)[number]);
        await eventually(`seed ${seed}: the pods that last are Ready`, () => kubectl.run("wait", "--for=condition=Ready", "pod", "--selector", `round=${round},lasts=yes`, "--timeout=5s"), SETTLE_MS);
        await kubectl.run("delete", "pods", "--selector", `round=${round}`, "--wait=false");
        await killed(random, VICTIMS[(seed + 1) % VICTIMS.length] as (typeof VICTIMS)[number]);
        await eventually(`seed ${seed}: the pods are gone`, async () => (await podsOf(round)) === "", SETTLE_MS);
      }
      await eventually("nothing is left behind", async () => nothingLeft(before, await census(target)), SETTLE_MS);
    }, 900_000);

    test("a runtime that hangs makes the node NotReady in words, piles nothing up, and everything goes on when it answers again", async () => {
      await kubectl.apply(steadyPod("steady"));
      await kubectl.run("wait", "--for=condition=Ready", "pod/steady", "--timeout=60s");
      const before = await identityOf("steady");
      const agent = pidIn(join(target.dataDir, "run", "agent.pid"));
      const memory = memoryMB(agent);
      process.kill(runtimePid(), "SIGSTOP");
      try {
        await eventually("the node says that its runtime is down", async () => (await readyMessage()).includes("has not answered for"), 60_000);
        await kubectl.apply(steadyPod("meanwhile"));
        await Bun.sleep(10_000);
        expect(memoryMB(agent) - memory).toBeLessThan(60);
      } finally {
        process.kill(runtimePid(), "SIGCONT");
      }
      await kubectl.run("wait", "--for=condition=Ready", "node/node-1", "pod/meanwhile", "pod/steady", "--timeout=60s");
      expect(await identityOf("steady")).toBe(before);
      await kubectl.run("delete", "pod", "steady", "meanwhile");
    }, 240_000);

    test("an API server that is silent costs no pod its life, and containers are restarted without it", async () => {
      await kubectl.apply(steadyPod("steady"));
      await kubectl.apply(steadyPod("sick", "livenessProbe: { exec: { command: [sh, -c, \"test -e /tmp/well || (touch /tmp/well; false)\"] }, periodSeconds: 1, failureThreshold: 60 }, command: [sh, -c, \"sleep 8; exit 1\"], "));
      await kubectl.run("wait", "--for=condition=Ready", "pod/steady", "--timeout=60s");
      const before = await identityOf("steady");
      const control = pidIn(join(directory, "control", "run", "control.pid"));
      const agent = pidIn(join(target.dataDir, "run", "agent.pid"));
      process.kill(control, "SIGSTOP");
      let cpu = 0;
      try {
        await Bun.sleep(10_000);
        const used = cpuMicros(agent);
        await Bun.sleep(30_000);
        cpu = (cpuMicros(agent) - used) / 30e4;
      } finally {
        process.kill(control, "SIGCONT");
      }
      expect(cpu).toBeLessThan(20);
      await kubectl.run("wait", "--for=condition=Ready", "node/node-1", "--timeout=90s");
      expect(await identityOf("steady")).toBe(before);
      expect(Number(await kubectl.value("{.status.containerStatuses[0].restartCount}", "pod", "sick"))).toBeGreaterThan(0);
      await kubectl.run("delete", "pod", "steady", "sick");
    }, 240_000);

    test("a pod on a dead mount waits alone and says so; others start, and it ends when it is deleted", async () => {
      const dead = deadMount(join(directory, "dead"));
      try {
        await kubectl.apply(steadyPod("stuck", `volumeMounts: [{ name: dead, mountPath: /dead }], `, `volumes: [{ name: dead, hostPath: { path: ${join(directory, "dead")} } }]`));
        await eventually("the event tells", async () => (await kubectl.run("get", "events", "--field-selector", "reason=FailedMount")).includes("does not answer"));
        for (const other of ["one", "two", "three"]) await kubectl.apply(steadyPod(other));
        await kubectl.run("wait", "--for=condition=Ready", "pod/one", "pod/two", "pod/three", "--timeout=30s");
        await kubectl.run("delete", "pod", "stuck", "one", "two", "three", "--timeout=60s");
      } finally {
        dead.release();
      }
    }, 180_000);

    test("a container that forks without end stays within its pod's share, and the node stays Ready", async () => {
      const { rules: _, ...before } = await settledCensus(target);
      await kubectl.apply(steadyPod("forks", `command: [sh, -c, "while true; do sh -c 'while true; do sleep 100000 & done'; sleep 1; done"], `));
      await eventually("the limit is told", async () => (await kubectl.run("get", "events", "--field-selector", "reason=PidLimitReached")).includes("forks"), 120_000);
      expect(await kubectl.value(`{.status.conditions[?(@.type=="Ready")].status}`, "node", "node-1")).toBe("True");
      await kubectl.run("delete", "pod", "forks", "--timeout=90s");
      await eventually("nothing is left of it", async () => {
        const { rules: __, ...after } = await census(target);
        return nothingLeft(before, after);
      }, SETTLE_MS);
    }, 300_000);
  });

  const pidIn = (path: string): number => Number(readFileSync(path, "utf8"));
  const runtimePid = (): number => (runtime === "docker" ? pidIn(join(target.dataDir, "docker.pid")) : (findDaemons(["--config", join(target.dataDir, "containerd", "config.toml")])[0] as number));
  const identityOf = (pod: string): Promise<string> => kubectl.value("{.status.containerStatuses[0].containerID} {.status.containerStatuses[0].restartCount}", "pod", pod);
  const readyMessage = (): Promise<string> => kubectl.value(`{.status.conditions[?(@.type=="Ready")].message}`, "node", "node-1");

  async function killed(random: () => number, victim: (typeof VICTIMS)[number]): Promise<void> {
    await Bun.sleep(random() * LIFE_MS);
    await lab("kill", "node-1", victim);
    await Bun.sleep(random() * 500);
    await lab("start", "node-1", runtime);
  }
}

/** A pod that runs until it is deleted, with more in its container and its spec. */
function steadyPod(name: string, inContainer = "", inSpec = ""): string {
  return `
apiVersion: v1
kind: Pod
metadata: { name: ${name} }
spec:
  terminationGracePeriodSeconds: 1
  containers: [{ name: app, ${inContainer}image: minik8s/hello:1 }]
  ${inSpec}
`;
}

/** Numbers from 0 to 1, the same for the same seed. */
function generator(seed: number): () => number {
  let state = seed * 2_654_435_761;
  return () => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x6d2b79f5) | 0;
    return ((state ^ (state >>> 13)) >>> 0) / 2 ** 32;
  };
}

/** Pods of all sorts: with an init container, volumes and a host port; with a sidecar; one that ends; one that fails; one slow to stop. */
function podsFor(round: string): string {
  const pod = (name: string, lasts: boolean, spec: string): string => `
apiVersion: v1
kind: Pod
metadata: { name: ${round}-${name}, labels: { round: ${round}, lasts: "${lasts ? "yes" : "no"}" } }
spec:
  terminationGracePeriodSeconds: 1
${spec}
---`;
  const image = "image: minik8s/hello:1, imagePullPolicy: IfNotPresent";
  return [
    pod("volumes", true, `
  initContainers: [{ name: first, ${image}, command: [sh, -c, "echo made > /memory/file"], volumeMounts: [{ name: memory, mountPath: /memory }] }]
  containers: [{ name: app, ${image}, ports: [{ containerPort: 8080, hostPort: 18080 }], resources: { requests: { cpu: 10m }, limits: { memory: 64Mi } }, volumeMounts: [{ name: memory, mountPath: /memory }, { name: about, mountPath: /about }] }]
  volumes: [{ name: memory, emptyDir: { medium: Memory } }, { name: about, downwardAPI: { items: [{ path: name, fieldRef: { fieldPath: metadata.name } }] } }]`),
    pod("sidecar", true, `
  initContainers: [{ name: beside, ${image}, restartPolicy: Always, command: [sleep, "100000"] }]
  containers: [{ name: app, ${image}, readinessProbe: { exec: { command: ["true"] }, periodSeconds: 1 } }]`),
    pod("ends", false, `
  restartPolicy: Never
  containers: [{ name: app, ${image}, command: ["true"] }]`),
    pod("fails", false, `
  containers: [{ name: app, ${image}, command: ["false"] }]`),
    pod("absent", false, `
  containers: [{ name: app, image: minik8s/absent:1 }]`),
    pod("slow", true, `
  containers: [{ name: app, ${image}, command: [sh, -c, "trap '' TERM; while true; do sleep 1; done"] }]`),
  ].join("\n");
}
