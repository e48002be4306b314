// Pods deleted in every phase of their lives, and with everything that runs them killed while they are there.
// The cluster is the caller's, and so is the runtime.
import { describe, expect, test } from "bun:test";
import { nothingLeft, census, settledCensus, type CensusTarget } from "./census.ts";
import { eventually, type Kubectl } from "./support.ts";

const SETTLE_MS = 120_000;
/** A registry that takes connections and never says a word. */
const TARPIT_PORT = 5_999;
const IMAGE = 'image: "minik8s/hello:1"';

/** By name: the pod, and what kubectl shows of its first container once it is in that phase. */
const PHASES: Readonly<Record<string, { readonly spec: string; readonly reason: string }>> = {
  pulling: { reason: "ContainerCreating", spec: `containers: [{ name: c, image: "127.0.0.1:${TARPIT_PORT}/slow:1" }]` },
  mounting: { reason: "ContainerCreating", spec: `containers: [{ name: c, ${IMAGE}, volumeMounts: [{ name: v, mountPath: /v }] }]\n  volumes: [{ name: v, secret: { secretName: absent } }]` },
  initializing: { reason: "PodInitializing", spec: `initContainers: [{ name: i, ${IMAGE}, command: [sh, -c, "trap '' TERM; while true; do sleep 1; done"] }]\n  containers: [{ name: c, ${IMAGE} }]` },
  starting: { reason: "ContainerCreating", spec: `containers: [{ name: c, ${IMAGE}, lifecycle: { postStart: { exec: { command: [sleep, "1000"] } } } }]` },
  failing: { reason: "", spec: `restartPolicy: Never\n  containers: [{ name: c, ${IMAGE}, command: [/no/such/program] }]` },
  stopping: { reason: "", spec: `containers: [{ name: c, ${IMAGE}, lifecycle: { preStop: { exec: { command: [sleep, "1000"] } } } }]` },
};

export interface PhasesUnderTest {
  readonly runtime: "containerd" | "docker";
  readonly kubectl: Kubectl;
  readonly target: CensusTarget;
  /** Runs the lab's script. */
  readonly lab: (...args: string[]) => Promise<string>;
}

/** What holds of deleting pods on every runtime. */
export function describePhases({ runtime, kubectl, target, lab }: PhasesUnderTest): void {
  const left = (): Promise<string> => kubectl.run("get", "pods", "--selector", "in=phase", "--output", "name");

  async function inTheirPhases(): Promise<void> {
    await kubectl.apply(Object.entries(PHASES).map(([name, { spec }]) => pod(name, spec)).join("\n---\n"));
    for (const [name, { reason }] of Object.entries(PHASES)) {
      await eventually(`${name} is shown as it is`, async () => {
        const [phase, waiting] = (await kubectl.value("{.status.phase}|{.status.containerStatuses[0].state.waiting.reason}", "pod", name)).split("|");
        return name === "failing" ? phase === "Failed" : name === "stopping" ? phase === "Running" : waiting === reason;
      });
    }
    await kubectl.run("delete", "pod", "stopping", "--wait=false");
  }

  describe(`pods on ${runtime} in every phase`, () => {
    test("are deleted at once or when their time is up, and leave nothing", async () => {
      await withTarpit(target.netns, async () => {
        const before = await settledCensus(target);
        await inTheirPhases();
        expect(await kubectl.value("{.status.containerStatuses[0].state.terminated.message}", "pod", "failing")).toContain("no such file or directory");
        await kubectl.run("delete", "pods", "--selector", "in=phase", "--wait=false");
        await eventually("they are gone", async () => (await left()) === "", SETTLE_MS);
        await eventually("nothing is left behind", async () => nothingLeft(before, await census(target)), SETTLE_MS);
      });
    }, 400_000);

    test("outlast kill -9 of agent and runtime, and are deleted after it all the same", async () => {
      await withTarpit(target.netns, async () => {
        const before = await settledCensus(target);
        await inTheirPhases();
        await lab("kill", "node-1", "both");
        await lab("start", "node-1", runtime);
        await eventually("the one that was stopping is gone", async () => !(await left()).includes("stopping"), SETTLE_MS);
        await kubectl.run("delete", "pods", "--selector", "in=phase", "--wait=false");
        await eventually("they are gone", async () => (await left()) === "", SETTLE_MS);
        await eventually("nothing is left behind", async () => nothingLeft(before, await census(target)), SETTLE_MS);
      });
    }, 400_000);
  });
}

async function withTarpit(netns: string, work: () => Promise<void>): Promise<void> {
  const listen = `Bun.listen({ hostname: "127.0.0.1", port: ${TARPIT_PORT}, socket: { data() {} } })`;
  const tarpit = Bun.spawn(["nsenter", `--net=/run/netns/${netns}`, process.execPath, "--eval", listen], { stdout: "ignore", stderr: "inherit" });
  try {
    await work();
  } finally {
    tarpit.kill("SIGKILL");
    await tarpit.exited;
  }
}

const pod = (name: string, spec: string): string => `
apiVersion: v1
kind: Pod
metadata: { name: ${name}, labels: { in: phase } }
spec:
  terminationGracePeriodSeconds: 2
  ${spec}
`;
