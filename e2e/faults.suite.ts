// One node of the lab under fault: what runs it is killed at random moments of its pods' lives, and nothing may be left behind.
// Each runtime's test file says which runtime it is.
import { afterAll, beforeAll, describe, test } from "bun:test";
import { join } from "node:path";
import { census, differences, type Census, type CensusTarget } from "./census.ts";
import { eventually, Kubectl, must, sampleImage } from "./support.ts";

const LAB = join(import.meta.dir, "..", "scripts", "lab");
const SEEDS = Number(process.env["MINIK8S_FAULT_SEEDS"] ?? 6);
const VICTIMS = ["agent", "runtime", "both"] as const;
/** A pod needs about this long to be made, and to be taken away. */
const LIFE_MS = 1_500;
const SETTLE_MS = 120_000;

/** A lab of one node on this runtime, as it meets kill -9. */
export function describeFaults(runtime: "containerd" | "docker"): void {
  const name = `faults-${runtime}`;
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

  describe(`a node on ${runtime}`, () => {
    test(`kill -9 of agent, runtime and both, at ${SEEDS} seeds' moments of its pods' lives, leaves nothing behind`, async () => {
      const before = await settledCensus(target);
      for (let seed = 1; seed <= SEEDS; seed++) {
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
  });

  async function killed(random: () => number, victim: (typeof VICTIMS)[number]): Promise<void> {
    await Bun.sleep(random() * LIFE_MS);
    await lab("kill", "node-1", victim);
    await Bun.sleep(random() * 500);
    await lab("start", "node-1", runtime);
  }
}

function nothingLeft(before: Census, after: Census): true {
  const left = differences(before, after);
  if (left.length > 0) throw new Error(left.join(", "));
  return true;
}

/** The census once two in a row agree. */
async function settledCensus(target: CensusTarget): Promise<Census> {
  let last = await census(target);
  return eventually("the node comes to rest", async () => {
    await Bun.sleep(1_000);
    const next = await census(target);
    const isSettled = differences(last, next).length === 0;
    last = next;
    return isSettled ? next : undefined;
  });
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
