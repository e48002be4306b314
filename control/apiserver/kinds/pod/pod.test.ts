import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import type { Pod, PodSpec, Stored } from "../../../../api/types.ts";
import type { TestServer } from "../../testing.ts";
import { aPod, POD, refusal, startKindServer } from "../testing.ts";
import { defaultPullPolicy } from "./image.ts";
import { podPrinter } from "./printer.ts";
import { podStrategy } from "./strategy.ts";

let server: TestServer;
let serial = 0;
let name = "";
beforeAll(async () => {
  server = await startKindServer();
});
afterAll(() => server.stop());
beforeEach(() => {
  name = `p${++serial}`;
});
const create = (spec: Partial<PodSpec> = {}): Promise<Stored<Pod>> => server.client.create(POD, aPod(spec, { name }));

describe("a new pod", () => {
  test("is filled in as upstream does", async () => {
    const { spec, status, metadata } = await create({ containers: [{ name: "c", image: "busybox", ports: [{ containerPort: 80 }], resources: { limits: { cpu: "1", memory: "64Mi" } }, livenessProbe: { httpGet: { port: 80 } } }] });
    expect(metadata.generation).toBe(1);
    expect(status).toEqual({ phase: "Pending", qosClass: "Guaranteed" });
    expect(spec).toEqual({
      containers: [{
        name: "c", image: "busybox", imagePullPolicy: "Always", terminationMessagePath: "/dev/termination-log", terminationMessagePolicy: "File",
        ports: [{ containerPort: 80, protocol: "TCP" }], resources: { limits: { cpu: "1", memory: "64Mi" }, requests: { cpu: "1", memory: "64Mi" } },
        livenessProbe: { httpGet: { path: "/", port: 80, scheme: "HTTP" }, timeoutSeconds: 1, periodSeconds: 10, successThreshold: 1, failureThreshold: 3 },
      }],
      restartPolicy: "Always", terminationGracePeriodSeconds: 30, dnsPolicy: "ClusterFirst", securityContext: {}, schedulerName: "default-scheduler", enableServiceLinks: true,
    } as never);
  });

  test.each([
    ["busybox", "Always"], ["busybox:latest", "Always"], ["busybox:1", "IfNotPresent"], ["host:5000/busybox", "Always"], ["host:5000/busybox:1", "IfNotPresent"],
    [`busybox@sha256:${"a".repeat(64)}`, "IfNotPresent"], [`busybox:latest@sha256:${"a".repeat(64)}`, "Always"], ["NotLower", "IfNotPresent"],
  ] as const)("%s is pulled %s", (image, policy) => expect(defaultPullPolicy(image)).toBe(policy));

  test("that is told one address has it first among many, and the other way round", async () => {
    await create();
    const told = async (status: object): Promise<unknown> => {
      const { status: { podIP, podIPs } = {} } = await server.client.patch<Pod>(POD, { name, namespace: "default" }, { status }, { type: "merge", subresource: "status" });
      return [podIP, ...(podIPs ?? []).map(({ ip }) => ip)];
    };
    expect(await told({ podIPs: [{ ip: "10.0.0.1" }, { ip: "fd00::1" }] })).toEqual(["10.0.0.1", "10.0.0.1", "fd00::1"]);
    expect(await told({ podIP: "10.0.0.2" })).toEqual(["10.0.0.2", "10.0.0.2"]);
  });

  test("on the host's network takes the host's ports", async () => {
    const { spec } = await create({ hostNetwork: true, containers: [{ name: "c", image: "i", ports: [{ containerPort: 80 }] }] });
    expect(spec?.containers[0]?.ports).toEqual([{ containerPort: 80, hostPort: 80, protocol: "TCP" }]);
  });

  test("with scheduling gates says that they hold it", async () => {
    const { status } = await create({ schedulingGates: [{ name: "example.com/wait" }] });
    expect(status?.conditions).toMatchObject([{ type: "PodScheduled", status: "False", reason: "SchedulingGated", message: "Scheduling is blocked due to non-empty scheduling gates" }]);
  });

  test.each([
    [{}, "BestEffort"], [{ requests: { cpu: "1" } }, "Burstable"], [{ limits: { cpu: "1" } }, "Burstable"],
    [{ limits: { cpu: "1000m", memory: "1Gi" }, requests: { cpu: "1" } }, "Guaranteed"],
  ])("asking for %j is %s", async (resources, qosClass) => {
    expect((await create({ containers: [{ name: "c", image: "i", resources }] })).status?.qosClass).toBe(qosClass);
  });
});

const container = { name: "c", image: "i" };
const refused: readonly (readonly [string, Partial<PodSpec>, string])[] = [
  ["no containers", { containers: [] }, "spec.containers: Required value"],
  ["a container without image", { containers: [{ name: "c" }] }, "spec.containers[0].image: Required value"],
  ["a bad container name", { containers: [{ name: "C_", image: "i" }] }, `spec.containers[0].name: Invalid value: "C_": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')`],
  ["two containers of a name", { containers: [container, container] }, 'spec.containers[1].name: Duplicate value: "c"'],
  ["a bad restart policy", { restartPolicy: "Sometimes" }, 'spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"'],
  ["a mount of no volume", { containers: [{ ...container, volumeMounts: [{ name: "v", mountPath: "/v" }] }] }, 'spec.containers[0].volumeMounts[0].name: Not found: "v"'],
  ["a volume of two kinds", { volumes: [{ name: "v", emptyDir: {}, hostPath: { path: "/" } }] }, "spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type"],
  ["more requested than the limit", { containers: [{ ...container, resources: { limits: { cpu: "1" }, requests: { cpu: "2" } } }] }, 'spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1'],
  ["an unknown resource", { containers: [{ ...container, resources: { limits: { pony: "1" } } }] }, 'spec.containers[0].resources.limits[pony]: Invalid value: "pony": must be a standard resource type or fully qualified'],
  ["a port out of range", { containers: [{ ...container, ports: [{ containerPort: 70000 }] }] }, "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive"],
  ["a probe of no kind", { containers: [{ ...container, livenessProbe: { periodSeconds: 3 } }] }, "spec.containers[0].livenessProbe: Required value: must specify a handler type"],
  ["a liveness probe that must succeed twice", { containers: [{ ...container, livenessProbe: { tcpSocket: { port: 80 }, successThreshold: 2 } }] }, "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1"],
  ["a variable from nowhere", { containers: [{ ...container, env: [{ name: "A", valueFrom: {} }] }] }, 'spec.containers[0].env[0].valueFrom: Invalid value: "": must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`'],
  ["a field the downward API has not", { containers: [{ ...container, env: [{ name: "A", valueFrom: { fieldRef: { fieldPath: "spec.volumes" } } }] }] }, 'spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Invalid value: "spec.volumes": error converting fieldPath: field label not supported: spec.volumes'],
  ["an init container with probes", { initContainers: [{ ...container, name: "i", readinessProbe: { tcpSocket: { port: 1 } } }] }, "spec.initContainers[0].readinessProbe: Forbidden: may not be set for init containers without restartPolicy=Always"],
  ["a toleration without key", { tolerations: [{ value: "x" }] }, 'spec.tolerations[0].operator: Invalid value: "": operator must be Exists when `key` is empty, which means "match all values and all keys"'],
  ["DNS from nowhere", { dnsPolicy: "None" }, "spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"],
  ["ephemeral containers", { ephemeralContainers: [{ name: "e", image: "i" }] }, "spec.ephemeralContainers: Forbidden: cannot be set on create"],
  ["a node selector of nothing", { affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [] } } } }, "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms: Required value: must have at least one node selector term"],
  ["a token without account", { volumes: [{ name: "t", projected: { sources: [{ serviceAccountToken: { path: "token" } }] } }] }, "spec.volumes[0].projected.sources[0].serviceAccountToken: Forbidden: must not be specified when serviceAccountName is not set"],
];

describe("refuses in upstream's words", () => {
  test.each(refused)("%s", async (_what, spec, message) => {
    expect(await refusal(create(spec))).toContain(message);
  });

  test("every mistake at once", async () => {
    const message = await refusal(create({ containers: [{ name: "", image: "" }], restartPolicy: "x" }));
    expect(message).toStartWith(`Pod "${name}" is invalid: [`);
    for (const part of ["spec.containers[0].name: Required value", "spec.containers[0].image: Required value", "spec.restartPolicy: Unsupported value"]) expect(message).toContain(part);
  });
});

describe("an existing pod", () => {
  test("takes a new image and counts the change", async () => {
    const pod = await create();
    const updated = await server.client.update(POD, { ...pod, spec: { ...(pod.spec as PodSpec), containers: [{ ...(pod.spec as PodSpec).containers[0], name: "c", image: "busybox:2" }] } });
    expect(updated.spec?.containers[0]?.image).toBe("busybox:2");
    expect(updated.metadata.generation).toBe(2);
  });

  test("refuses any other change, and says what it was", async () => {
    const pod = await create();
    const message = await refusal(server.client.update(POD, { ...pod, spec: { ...(pod.spec as PodSpec), hostname: "other" } }));
    expect(message).toContain("spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)");
    expect(message).toContain('+ hostname: "other"');
  });

  test("is placed by binding, once", async () => {
    await create();
    const target = { metadata: { name, namespace: "default" }, target: { kind: "Node", name: "n1" } };
    await server.client.post(POD, { name, namespace: "default" }, "binding", target);
    const pod = await server.client.get<Pod>(POD, { name, namespace: "default" });
    expect(pod.spec?.nodeName).toBe("n1");
    expect(pod.metadata.generation).toBe(1);
    expect(await refusal(server.client.post(POD, { name, namespace: "default" }, "binding", target))).toContain(`pod ${name} is already assigned to node "n1"`);
  });

  test("waits its grace period once it runs somewhere, and not before", () => {
    const grace = podStrategy.gracePeriodSeconds?.bind(podStrategy) as NonNullable<typeof podStrategy.gracePeriodSeconds>;
    const placed = { ...aPod({ nodeName: "n", terminationGracePeriodSeconds: 7 }), status: {} };
    expect(grace(aPod() as never, 30)).toBe(0);
    expect(grace(placed as never, undefined)).toBe(7);
    expect(grace(placed as never, 3)).toBe(3);
    expect(grace({ ...placed, status: { phase: "Succeeded" } } as never, 30)).toBe(0);
  });

  test("gets ephemeral containers through their own door only, and keeps them", async () => {
    const pod = await create();
    const debug = { name: "debug", image: "busybox:1" };
    const withDebug = await server.client.update(POD, { ...pod, spec: { ...(pod.spec as PodSpec), hostname: "ignored", ephemeralContainers: [debug] } }, { subresource: "ephemeralcontainers" });
    expect(withDebug.spec?.hostname).toBeUndefined();
    expect(withDebug.spec?.ephemeralContainers).toMatchObject([debug]);
    expect(await refusal(server.client.update(POD, { ...withDebug, spec: { ...(withDebug.spec as PodSpec), ephemeralContainers: [] } }, { subresource: "ephemeralcontainers" }))).toContain('existing ephemeral containers "debug" may not be removed');
  });

  test("is resized within its class of service", async () => {
    const pod = await create({ containers: [{ name: "c", image: "i", resources: { requests: { cpu: "1" } } }] });
    const resize = (requests: Record<string, string>): Promise<Stored<Pod>> => server.client.update(POD, { ...pod, spec: { ...(pod.spec as PodSpec), containers: [{ ...(pod.spec as PodSpec).containers[0], name: "c", resources: { requests } }] } }, { subresource: "resize" });
    expect(await refusal(resize({}))).toContain("spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed");
    expect((await resize({ cpu: "2" })).spec?.containers[0]?.resources?.requests).toEqual({ cpu: "2" });
  });

  test("is resized as a whole, and its init containers with it", async () => {
    const init = { name: "i", image: "i", resources: { requests: { cpu: "100m" } } };
    const pod = await create({ resources: { requests: { cpu: "1" }, limits: { cpu: "2" } }, containers: [{ name: "c", image: "i" }], initContainers: [init] });
    const resize = (change: Partial<PodSpec>): Promise<Stored<Pod>> => server.client.update(POD, { ...pod, metadata: { name: pod.metadata.name, namespace: pod.metadata.namespace }, spec: { ...(pod.spec as PodSpec), ...change } } as Pod, { subresource: "resize" });
    expect(await refusal(resize({ resources: { requests: { cpu: "1" } } }))).toContain("spec.resources.limits: Forbidden: pod-level resource limits cannot be removed");
    expect(await refusal(resize({ resources: { requests: { cpu: "1" }, limits: { cpu: "2", "hugepages-2Mi": "2Mi" } } }))).toContain("only cpu and memory resources are mutable at pod-level");
    expect(await refusal(resize({ initContainers: [{ ...init, resizePolicy: [{ resourceName: "cpu", restartPolicy: "RestartContainer" }], resources: { requests: { cpu: "200m" } } }] }))).toContain("spec.initContainers[0]: Forbidden: non-sidecar init containers with a resize policy of RestartContainer cannot be resized");
    const resized = await resize({ resources: { requests: { cpu: "2" }, limits: { cpu: "3" } }, initContainers: [{ ...init, resources: { requests: { cpu: "200m" } } }] });
    expect(resized.spec?.resources).toEqual({ requests: { cpu: "2" }, limits: { cpu: "3" } });
    expect(resized.spec?.initContainers?.[0]?.resources?.requests).toEqual({ cpu: "200m" });
  });
});

describe("kubectl get pods", () => {
  const now = Date.parse("2026-01-01T01:00:00Z");
  const row = (pod: Partial<Pod>): string => podPrinter.cells({ ...aPod({}, { creationTimestamp: "2026-01-01T00:00:00Z" }), ...pod } as Pod, now).slice(1, 5).join(" | ");
  const status = (state: object, more: object = {}): Pod["status"] => ({ phase: "Running", containerStatuses: [{ name: "c", ready: false, restartCount: 0, image: "i", imageID: "", state, ...more }] }) as never;

  test.each<[string, Partial<Pod>, string]>([
    ["pending", { status: { phase: "Pending" } }, "0/1 | Pending | 0 | 60m"],
    ["running", { status: status({ running: {} }, { ready: true }) }, "1/1 | Running | 0 | 60m"],
    ["crashing", { status: status({ waiting: { reason: "CrashLoopBackOff" } }, { restartCount: 4, lastState: { terminated: { exitCode: 1, finishedAt: "2026-01-01T00:55:00Z" } } }) }, "0/1 | CrashLoopBackOff | 4 (5m ago) | 60m"],
    ["finished", { status: { ...status({ terminated: { exitCode: 0, reason: "Completed" } }), phase: "Succeeded" } }, "0/1 | Completed | 0 | 60m"],
    ["failed", { status: { ...status({ terminated: { exitCode: 2 } }), phase: "Failed" } }, "0/1 | ExitCode:2 | 0 | 60m"],
    ["going", { metadata: { name: "p", creationTimestamp: "2026-01-01T00:00:00Z", deletionTimestamp: "2026-01-01T00:59:00Z" }, status: status({ running: {} }, { ready: true }) }, "1/1 | Terminating | 0 | 60m"],
    ["initializing", { spec: { containers: [container], initContainers: [container, container] }, status: { phase: "Pending", initContainerStatuses: [{ name: "c", ready: false, restartCount: 0, image: "", imageID: "", state: { running: {} } }] } }, "0/1 | Init:0/2 | 0 | 60m"],
    ["gated", { status: { phase: "Pending", conditions: [{ type: "PodScheduled", status: "False", reason: "SchedulingGated" }] } }, "0/1 | SchedulingGated | 0 | 60m"],
  ])("shows a pod that is %s", (_what, pod, expected) => expect(row(pod)).toBe(expected));

  test("has upstream's columns", () => {
    expect(podPrinter.columns.map(({ name, priority }) => `${name}${priority > 0 ? "*" : ""}`)).toEqual(["Name", "Ready", "Status", "Restarts", "Age", "IP*", "Node*", "Nominated Node*", "Readiness Gates*"]);
  });
});
