// The plan as a table: what the runtime holds of a pod, and what must happen next.
import { describe, expect, test } from "bun:test";
import type { Container, Pod, PodSpec, ResourceRequirements } from "../../api/types.ts";
import type { ContainerRecord, Sandbox } from "../runtime/runtime.ts";
import { aContainer, aPod } from "./builders.ts";
import type { BackOff } from "./backoff.ts";
import { hashOf } from "./labels.ts";
import { observedPod } from "./observed.ts";
import type { Action, PlanInput, ProbeVerdict } from "./actions.ts";
import { plan } from "./plan.ts";

const NOW = 1_000_000;
const sandbox = (overrides: Partial<Sandbox> = {}): Sandbox => ({ id: "s0", name: "p", namespace: "default", uid: "uid-1", attempt: 0, state: "ready", createdAt: 1, labels: {}, annotations: {}, ips: ["10.0.0.9"], ...overrides });
const record = (name: string, state: ContainerRecord["state"], overrides: Partial<ContainerRecord> = {}): ContainerRecord => ({
  id: `${name}-${overrides.attempt ?? 0}`, sandboxId: "s0", name, attempt: 0, state, image: "app:1", imageId: "app@1", createdAt: 10 + (overrides.attempt ?? 0), labels: {}, logPath: "",
  annotations: { "io.kubernetes.container.hash": hashOf({ name, image: "app:1" }) },
  ...(state === "exited" && { exitCode: 1, finishedAt: NOW - 1_000 }), ...overrides,
});
const exited = (name: string, exitCode: number, overrides: Partial<ContainerRecord> = {}): ContainerRecord => record(name, "exited", { exitCode, ...overrides });
const sidecar = (name: string, overrides: Partial<Container> = {}): Container => aContainer({ name, restartPolicy: "Always", ...overrides });

interface Case {
  readonly spec?: Partial<PodSpec>;
  readonly metadata?: Pod["metadata"];
  readonly sandboxes?: readonly Sandbox[];
  readonly containers?: readonly ContainerRecord[];
  readonly probes?: Record<string, ProbeVerdict>;
  readonly backOffs?: Record<string, BackOff>;
  readonly notBefore?: Record<string, number>;
  readonly actuated?: Record<string, ResourceRequirements>;
}

function input({ spec = {}, metadata, sandboxes = [sandbox()], containers = [], probes = {}, backOffs = {}, notBefore = {}, actuated = {} }: Case): PlanInput {
  return {
    pod: aPod({ spec, ...(metadata && { metadata }) }),
    observed: observedPod({ uid: "uid-1", name: "p", namespace: "default" }, sandboxes, containers),
    probes: new Map(Object.entries(probes)), backOffs: new Map(Object.entries(backOffs)), notBefore: new Map(Object.entries(notBefore)), actuated: new Map(Object.entries(actuated)), now: NOW,
  };
}

/** `start app`, `kill app-0`, `sandbox 1`: actions in words. */
function words(action: Action): string {
  switch (action.type) {
    case "startContainer": return `start ${action.role === "regular" ? "" : `${action.role} `}${action.container}`;
    case "killContainer": return `kill ${action.id}: ${action.message}`;
    case "createSandbox": return `sandbox ${action.attempt}`;
    case "resize": return `resize ${action.id}`;
    case "removeContainer": return `remove ${action.id}`;
    case "resetContainer": return `reset ${action.id}`;
    default: return action.type;
  }
}
const actions = (c: Case): string[] => plan(input(c)).actions.map(words);
const two = [aContainer(), aContainer({ name: "web" })];
const inits = [aContainer({ name: "i1" }), aContainer({ name: "i2" })];

const CASES: Record<string, [Case, string[]]> = {
  "a new pod gets a sandbox and all its containers": [{ sandboxes: [], spec: { containers: two } }, ["sandbox 0", "start app", "start web"]],
  "a new pod with init containers starts only the first": [{ sandboxes: [], spec: { initContainers: inits } }, ["sandbox 0", "start init i1"]],
  "a running pod needs nothing": [{ containers: [record("app", "running")] }, []],
  "a missing container is started": [{ spec: { containers: two }, containers: [record("app", "running")] }, ["start web"]],
  "an exited container is restarted under Always, whatever its code": [{ containers: [exited("app", 0)] }, ["start app"]],
  "a failed container is restarted under OnFailure": [{ spec: { restartPolicy: "OnFailure" }, containers: [exited("app", 2)] }, ["start app"]],
  "a container that succeeded is not restarted under OnFailure, and the pod is over": [{ spec: { restartPolicy: "OnFailure" }, containers: [exited("app", 0)] }, ["killPod"]],
  "a failed container is not restarted under Never, and the pod is over": [{ spec: { restartPolicy: "Never" }, containers: [exited("app", 1)] }, ["killPod"]],
  "a finished pod whose sandbox is stopped needs nothing": [{ spec: { restartPolicy: "Never" }, sandboxes: [sandbox({ state: "notready", ips: [] })], containers: [exited("app", 1)] }, []],
  "one finished container does not end the others": [{ spec: { restartPolicy: "Never", containers: two }, containers: [exited("app", 0), record("web", "running")] }, []],
  "a container that was created and never started is started anew": [{ containers: [record("app", "created")] }, ["start app"]],
  "a container in unknown state is killed before it is started again": [{ containers: [record("app", "unknown")] }, [`kill app-0: Container is in "unknown" state, try killing it before restart`, "start app"]],
  "a new image replaces a running container": [{ spec: { containers: [aContainer({ image: "app:2" })] }, containers: [record("app", "running")] }, ["kill app-0: Container app definition changed, will be restarted", "start app"]],
  "a failed liveness probe restarts the container": [{ containers: [record("app", "running")], probes: { "app-0": { liveness: "failure" } } }, ["kill app-0: Container app failed liveness probe, will be restarted", "start app"]],
  "a failed startup probe restarts the container": [{ containers: [record("app", "running")], probes: { "app-0": { startup: "failure" } } }, ["kill app-0: Container app failed startup probe, will be restarted", "start app"]],
  "a failed liveness probe only kills under Never": [{ spec: { restartPolicy: "Never", containers: two }, containers: [record("app", "running"), record("web", "running")], probes: { "app-0": { liveness: "failure" } } }, ["kill app-0: Container app failed liveness probe"]],
  "a container's own policy beats the pod's": [{ spec: { restartPolicy: "Never", containers: [aContainer({ restartPolicy: "OnFailure" })] }, containers: [exited("app", 1)] }, ["start app"]],
  "a restart rule for an exit code beats the container's policy": [{ spec: { restartPolicy: "Never", containers: [aContainer({ restartPolicy: "Never", restartPolicyRules: [{ action: "Restart", exitCodes: { operator: "In", values: [42] } }] })] }, containers: [exited("app", 42)] }, ["start app"]],
  "a rule can restart all containers in place: all are taken away, the one that asked last": [{ spec: { restartPolicy: "Never", initContainers: [aContainer({ name: "i1" })], containers: [aContainer({ restartPolicy: "Never", restartPolicyRules: [{ action: "RestartAllContainers", exitCodes: { operator: "In", values: [42] } }] }), aContainer({ name: "web" })] }, containers: [exited("i1", 0), exited("app", 42), record("web", "running")] }, ["reset web-0", "reset i1-0", "reset app-0"]],

  "new limits are given to a running container": [{ spec: { containers: [aContainer({ resources: { limits: { cpu: "2" } } })] }, containers: [record("app", "running")], actuated: { "app-0": { limits: { cpu: "1" } } } }, ["resize app-0"]],
  "the same amount spelt differently is no resize": [{ spec: { containers: [aContainer({ resources: { limits: { cpu: "1000m" } } })] }, containers: [record("app", "running")], actuated: { "app-0": { limits: { cpu: "1" } } } }, []],
  "a resize restarts a container whose policy says so": [{ spec: { containers: [aContainer({ resources: { limits: { memory: "2Mi" } }, resizePolicy: [{ resourceName: "memory", restartPolicy: "RestartContainer" }] })] }, containers: [record("app", "running")], actuated: { "app-0": { limits: { memory: "1Mi" } } } }, ["kill app-0: Container app resize requires restart", "start app"]],

  "a sandbox that is not ready is replaced with everything in it": [{ sandboxes: [sandbox({ state: "notready", ips: [] })], containers: [exited("app", 137)] }, ["killPod", "sandbox 1", "start app"]],
  "two ready sandboxes are both replaced": [{ sandboxes: [sandbox(), sandbox({ id: "s1", attempt: 1 })] }, ["killPod", "sandbox 2", "start app"]],
  "a sandbox without an address is replaced": [{ sandboxes: [sandbox({ ips: [] })] }, ["killPod", "sandbox 1", "start app"]],
  "a host-network sandbox needs no address": [{ spec: { hostNetwork: true }, sandboxes: [sandbox({ ips: [] })], containers: [record("app", "running")] }, []],
  "a lost sandbox is not replaced under Never once containers ran": [{ spec: { restartPolicy: "Never" }, sandboxes: [sandbox({ state: "notready", ips: [] })], containers: [record("app", "running")] }, ["killPod"]],
  "a lost sandbox is replaced under Never while no container ever ran": [{ spec: { restartPolicy: "Never" }, sandboxes: [sandbox({ state: "notready", ips: [] })] }, ["killPod", "sandbox 1", "start app"]],
  "a new sandbox forgets init containers, for they must run again": [{ spec: { initContainers: inits }, sandboxes: [sandbox({ state: "notready", ips: [] })], containers: [exited("i1", 0), exited("i2", 0), exited("app", 137)] }, ["killPod", "remove i1-0", "remove i2-0", "sandbox 1", "start init i1"]],
  "what succeeded under OnFailure does not run again in a new sandbox": [{ spec: { restartPolicy: "OnFailure", containers: two }, sandboxes: [sandbox({ state: "notready", ips: [] })], containers: [exited("app", 0), exited("web", 137)] }, ["killPod", "sandbox 1", "start web"]],

  "the second init container follows the first": [{ spec: { initContainers: inits }, containers: [exited("i1", 0)] }, ["start init i2"]],
  "nothing starts while an init container runs": [{ spec: { initContainers: inits }, containers: [record("i1", "running")] }, []],
  "regular containers follow the last init container": [{ spec: { initContainers: inits }, containers: [exited("i1", 0), exited("i2", 0)] }, ["start app"]],
  "a failed init container is tried again": [{ spec: { initContainers: inits }, containers: [exited("i1", 1)] }, ["start init i1"]],
  "a failed init container ends the pod under Never": [{ spec: { restartPolicy: "Never", initContainers: inits }, containers: [exited("i1", 1)] }, ["killPod"]],
  "init containers whose records are gone do not run again beside a running pod": [{ spec: { initContainers: inits }, containers: [record("app", "running")] }, []],

  "a sidecar lets the next container start once it runs": [{ spec: { initContainers: [sidecar("sc"), aContainer({ name: "i2" })] }, containers: [record("sc", "running")] }, ["start init i2"]],
  "a sidecar with a startup probe holds the rest up until it has started": [{ spec: { initContainers: [sidecar("sc", { startupProbe: {} })] }, containers: [record("sc", "running")] }, []],
  "a started sidecar lets the pod begin": [{ spec: { initContainers: [sidecar("sc", { startupProbe: {} })] }, containers: [record("sc", "running")], probes: { "sc-0": { startup: "success" } } }, ["start app"]],
  "a sidecar that exited is restarted beside the running pod": [{ spec: { initContainers: [sidecar("sc")] }, containers: [exited("sc", 0), record("app", "running")] }, ["start init sc"]],
  "a sidecar whose record is gone is restarted beside the running pod": [{ spec: { initContainers: [sidecar("sc")] }, containers: [record("app", "running")] }, ["start init sc"]],
  "a sidecar that fails liveness is restarted": [{ spec: { initContainers: [sidecar("sc", { livenessProbe: {} })] }, containers: [record("sc", "running"), record("app", "running")], probes: { "sc-0": { liveness: "failure" } } }, ["kill sc-0: Init container sc failed liveness probe", "start init sc"]],
  "sidecars do not keep a finished pod alive": [{ spec: { restartPolicy: "Never", initContainers: [sidecar("sc")] }, containers: [record("sc", "running"), exited("app", 0)] }, ["killPod"]],

  "an ephemeral container starts once, even while the pod initialises": [{ spec: { initContainers: inits, ephemeralContainers: [{ name: "debug", image: "app:1" }] }, containers: [record("i1", "running")] }, ["start ephemeral debug"]],
  "an ephemeral container is never restarted": [{ spec: { ephemeralContainers: [{ name: "debug", image: "app:1" }] }, containers: [record("app", "running"), exited("debug", 1)] }, []],
};

describe("plan", () => {
  for (const [name, [given, expected]] of Object.entries(CASES)) test(name, () => expect(actions(given)).toEqual(expected));

  test("a container in back-off waits, with the words users look for", () => {
    const decided = plan(input({ containers: [exited("app", 1, { finishedAt: NOW - 3_000 })], backOffs: { app: { delayMs: 20_000, updatedAt: NOW - 3_000 } } }));
    expect(decided.actions).toEqual([]);
    expect(decided.waiting).toEqual([{ container: "app", until: NOW + 17_000, message: "back-off 20s restarting failed container=app pod=p_default(uid-1)" }]);
  });

  test("back-off is forgotten after ten quiet minutes", () => {
    expect(actions({ containers: [exited("app", 1, { finishedAt: NOW - 1_000 })], backOffs: { app: { delayMs: 300_000, updatedAt: NOW - 602_000 } } })).toEqual(["start app"]);
  });

  test("an init container in back-off holds up everything after it, a sidecar does not", () => {
    const backOffs = { sc: { delayMs: 10_000, updatedAt: NOW } };
    expect(actions({ spec: { initContainers: [sidecar("sc")], containers: two }, containers: [exited("sc", 1), record("app", "running")], backOffs })).toEqual(["start web"]);
    expect(actions({ spec: { initContainers: inits }, containers: [exited("i1", 1)], backOffs: { i1: { delayMs: 10_000, updatedAt: NOW } } })).toEqual([]);
  });

  test("a start that failed is not tried before its time, unless the sandbox is new", () => {
    const notBefore = { app: NOW + 5_000 };
    expect(plan(input({ notBefore })).waiting).toEqual([{ container: "app", until: NOW + 5_000, message: undefined }]);
    expect(actions({ notBefore, sandboxes: [sandbox({ state: "notready", ips: [] })] })).toEqual(["killPod", "sandbox 1", "start app"]);
  });

  test("the same input gives the same plan", () => {
    const given = input({ spec: { initContainers: [sidecar("sc")], containers: two }, containers: [record("sc", "running")] });
    expect(plan(given)).toEqual(plan(given));
  });
});
