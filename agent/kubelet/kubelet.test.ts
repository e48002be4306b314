// The kubelet from API object to fake runtime and back, as a user of the API sees it.
import { afterEach, expect, test } from "bun:test";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { builtinKind } from "../../api/registry.ts";
import type { Pod } from "../../api/types.ts";
import { systemClock } from "../../lib/clock.ts";
import { TEST_TIMEOUT_MS } from "../../lib/testing.ts";
import { RuntimeError } from "../runtime/runtime.ts";
import { aContainer, aPod, conditionOf, Rig } from "./builders.ts";

let rig: Rig;
afterEach(() => rig.close());

test("a pod bound to the node becomes Ready and says how", async () => {
  rig = await new Rig().start();
  await rig.create(aPod());
  const pod = await rig.until((p) => conditionOf(p, "Ready") === "True");
  expect(pod.status?.phase).toBe("Running");
  expect(pod.status?.podIP).toStartWith("10.88.");
  expect(pod.status?.conditions?.find((c) => c.type === "Ready")).toEqual({ type: "Ready", status: "True", lastTransitionTime: expect.any(String), observedGeneration: 1 });
  expect(pod.status?.hostIP).toBe("10.0.0.1");
  expect(pod.status?.qosClass).toBe("BestEffort");
  expect(pod.status?.containerStatuses?.[0]).toMatchObject({ name: "app", ready: true, started: true, restartCount: 0, containerID: expect.stringMatching(/^fake:\/\//) });
  expect(pod.status?.conditions?.map((c) => c.type).sort()).toEqual(["ContainersReady", "Initialized", "PodReadyToStartContainers", "PodScheduled", "Ready"]);
  expect(rig.reasons()).toEqual(["Pulling", "Pulled", "Created", "Started"]);
});

test("a running container is never shown ready before its readiness probe has succeeded", async () => {
  rig = await new Rig().start();
  // Nothing listens there, so the probe never succeeds.
  await rig.create(aPod({ spec: { containers: [aContainer({ readinessProbe: { tcpSocket: { host: "127.0.0.1", port: 1 }, periodSeconds: 1 } })] } }));
  const shown: (boolean | undefined)[] = [];
  await rig.until((p) => {
    shown.push(p?.status?.containerStatuses?.[0]?.ready);
    return p?.status?.phase === "Running";
  });
  await Bun.sleep(30);
  shown.push(rig.pod()?.status?.containerStatuses?.[0]?.ready);
  expect(shown).not.toContain(true);
});

test("a deleted pod is stopped, its object removed and nothing of it left", async () => {
  rig = await new Rig().start();
  const created = await rig.create(aPod());
  await rig.until((p) => conditionOf(p, "Ready") === "True");
  await rig.delete("p");
  await rig.until((p) => p === undefined);
  while (rig.kubelet.pods.all().length > 0) await Bun.sleep(2);
  expect(await rig.runtime.pods.listContainers()).toEqual([]);
  expect(await rig.runtime.pods.listSandboxes()).toEqual([]);
  expect(existsSync(rig.kubelet.node.paths.pod(created.metadata.uid))).toBe(false);
  expect(existsSync(rig.kubelet.node.paths.podLogDirectory(created))).toBe(false);
  expect(rig.events.at(-1)).toMatchObject({ reason: "Killing", message: "Stopping container app" });
});

test("a pod whose object vanishes without notice is stopped all the same", async () => {
  rig = await new Rig().start();
  await rig.create(aPod());
  await rig.until((p) => conditionOf(p, "Ready") === "True");
  await rig.delete("p", 0);
  while (rig.kubelet.pods.all().length > 0) await Bun.sleep(2);
  expect(await rig.runtime.pods.listContainers()).toEqual([]);
});

test("a pod made again under the name of one that is still being stopped is the one that is looked into", async () => {
  rig = await new Rig().start();
  await rig.create(aPod({ spec: { containers: [aContainer({ lifecycle: { preStop: { sleep: { seconds: 1 } } } })] } }));
  await rig.until((p) => conditionOf(p, "Ready") === "True");
  await rig.delete("p", 0);
  const { metadata } = await rig.create(aPod({ uid: "uid-2" }));
  while (rig.kubelet.nodePods.get(metadata.namespace ?? "", "p")?.metadata.uid !== metadata.uid) await Bun.sleep(2);
  expect(rig.kubelet.pods.all()).toHaveLength(2);
  while (rig.kubelet.pods.all().length > 1) await Bun.sleep(5);
});

test("a restarted agent adopts what runs and restarts nothing", async () => {
  rig = await new Rig().start();
  await rig.create(aPod());
  const before = await rig.until((p) => conditionOf(p, "Ready") === "True");
  await rig.restart();
  await Bun.sleep(50);
  const after = rig.pod();
  expect(after?.status).toEqual(before.status as NonNullable<typeof before.status>);
  expect(rig.reasons().filter((reason) => reason === "Started")).toHaveLength(1);
});

test("an agent stops although what it is doing fails just then", async () => {
  rig = await new Rig({ runtime: { latencyMs: { runSandbox: 200 } } }).start();
  rig.runtime.failNext("runSandbox", new RuntimeError("CreatePodSandboxError", "interrupted"));
  await rig.create(aPod());
  while (rig.kubelet.pods.all().length === 0) await Bun.sleep(2);
  await rig.kubelet.stop();
  expect(rig.reasons()).not.toContain("FailedCreatePodSandBox");
});

test("an agent stops although the runtime never answers", async () => {
  rig = await new Rig({ clock: { ...systemClock, sleep: (ms, signal) => systemClock.sleep(ms / 100, signal) } }).start();
  await rig.create(aPod());
  await rig.until((p) => conditionOf(p, "Ready") === "True");
  const asked = Promise.withResolvers<void>();
  rig.runtime.pods.stopSandbox = () => (asked.resolve(), new Promise(() => {}));
  await rig.delete("p", 1);
  await asked.promise;
  await rig.kubelet.stop();
  expect(rig.pod()).toBeDefined();
});

test("pods that vanished while the agent was away are taken down", async () => {
  rig = await new Rig().start();
  await rig.create(aPod());
  await rig.until((p) => conditionOf(p, "Ready") === "True");
  await rig.kubelet.stop();
  await rig.delete("p", 0);
  await rig.restart();
  await rig.kubelet.pods.removeOrphans();
  expect(await rig.runtime.pods.listContainers()).toEqual([]);
  expect(await rig.runtime.pods.listSandboxes()).toEqual([]);
});

test("a crashed container restarts at once, then backs off in upstream's words", async () => {
  rig = await new Rig().start();
  await rig.create(aPod({ spec: { containers: [aContainer({ command: ["false"] })] } }));
  const pod = await rig.until((p) => p?.status?.containerStatuses?.[0]?.state?.waiting?.reason === "CrashLoopBackOff");
  const [status] = pod.status?.containerStatuses ?? [];
  expect(status?.restartCount).toBe(1);
  expect(status?.state?.waiting?.message).toBe(`back-off 10s restarting failed container=app pod=p_default(${pod.metadata.uid})`);
  expect(status?.lastState?.terminated).toMatchObject({ exitCode: 1, reason: "Error" });
  expect(pod.status?.phase).toBe("Running");
  expect(conditionOf(pod, "Ready")).toBe("False");
  expect(rig.events.find((e) => e.reason === "BackOff")?.message).toBe(`Back-off restarting failed container app in pod p_default(${pod.metadata.uid})`);
});

test("a new image is not made to wait for what the old one did", async () => {
  rig = await new Rig().start();
  await rig.create(aPod({ spec: { containers: [aContainer({ command: ["false"] })] } }));
  const pod = await rig.until((p) => p?.status?.containerStatuses?.[0]?.state?.waiting?.reason === "CrashLoopBackOff");
  await rig.api.update(builtinKind("", "v1", "Pod"), { ...pod, spec: { ...pod.spec, containers: [aContainer({ image: "app:2", command: ["sleep", "infinity"] })] } } as Pod);
  const fixed = await rig.until((p) => conditionOf(p, "Ready") === "True");
  expect(fixed.status?.containerStatuses?.[0]?.restartCount).toBe(2);
});

test("a pod that runs once ends Succeeded or Failed, keeps its status and stops its sandbox", async () => {
  rig = await new Rig().start();
  await rig.create(aPod({ name: "good", uid: "u1", spec: { restartPolicy: "Never", containers: [aContainer({ command: ["true"] })] } }));
  await rig.create(aPod({ name: "bad", uid: "u2", spec: { restartPolicy: "Never", containers: [aContainer({ command: ["sh", "-c", "exit 3"] })] } }));
  const good = await rig.until((p) => p?.status?.phase === "Succeeded", "good");
  const bad = await rig.until((p) => p?.status?.phase === "Failed", "bad");
  expect(good.status?.containerStatuses?.[0]?.state?.terminated).toMatchObject({ exitCode: 0, reason: "Completed" });
  expect(bad.status?.containerStatuses?.[0]?.state?.terminated).toMatchObject({ exitCode: 3, reason: "Error" });
  expect(good.status?.conditions?.find((c) => c.type === "Ready")).toMatchObject({ status: "False", reason: "PodCompleted" });
  while ((await rig.runtime.pods.listSandboxes()).some((s) => s.state === "ready")) await Bun.sleep(2);
  await rig.delete("good");
  await rig.until((p) => p === undefined, "good");
});

test("an image that cannot be pulled shows ErrImagePull, then ImagePullBackOff is what the next try would say", async () => {
  rig = await new Rig({ runtime: { unpullable: { "app:1": "ErrImagePull" } } }).start();
  await rig.create(aPod());
  const pod = await rig.until((p) => p?.status?.containerStatuses?.[0]?.state?.waiting?.reason === "ErrImagePull");
  expect(pod.status?.phase).toBe("Pending");
  expect(rig.events.filter((e) => e.type === "Warning").map((e) => e.message)).toEqual([`Failed to pull image "app:1": failed to pull image "app:1"`, "Error: ErrImagePull"]);
  rig.kubelet.pods.retry(pod.metadata.uid);
  const waiting = (await rig.until((p) => p?.status?.containerStatuses?.[0]?.state?.waiting?.reason === "ImagePullBackOff")).status?.containerStatuses?.[0]?.state?.waiting;
  expect(waiting?.message).toBe(`Back-off pulling image "app:1": ErrImagePull: failed to pull image "app:1"`);
});

test("a sandbox that cannot be made is told and tried again", async () => {
  rig = await new Rig().start();
  rig.runtime.failNext("runSandbox", new RuntimeError("CreatePodSandboxError", "no network"));
  await rig.create(aPod());
  await rig.until((p) => conditionOf(p, "Ready") === "True");
  expect(rig.events.find((e) => e.reason === "FailedCreatePodSandBox")?.message).toBe("Failed to create pod sandbox: no network");
});

test("a sandbox that dies is replaced together with its containers", async () => {
  rig = await new Rig().start();
  await rig.create(aPod());
  await rig.until((p) => conditionOf(p, "Ready") === "True");
  rig.runtime.killSandbox((await rig.runtime.pods.listSandboxes())[0]?.id ?? "");
  const pod = await rig.until((p) => p?.status?.containerStatuses?.[0]?.restartCount === 1 && conditionOf(p, "Ready") === "True");
  expect(rig.reasons()).toContain("SandboxChanged");
  expect(pod.status?.podIPs).toHaveLength(1);
});

test("init containers run one after the other before the pod's own", async () => {
  rig = await new Rig().start();
  await rig.create(aPod({ spec: { initContainers: [aContainer({ name: "one", command: ["true"] }), aContainer({ name: "two", command: ["true"] })] } }));
  const pod = await rig.until((p) => conditionOf(p, "Ready") === "True");
  expect(rig.events.filter((e) => e.reason === "Started").map((e) => e.about.fieldPath)).toEqual(["spec.initContainers{one}", "spec.initContainers{two}", "spec.containers{app}"]);
  expect(pod.status?.initContainerStatuses?.map((s) => s.ready)).toEqual([true, true]);
  expect(conditionOf(pod, "Initialized")).toBe("True");
});

test("a missing config map for the environment is CreateContainerConfigError", async () => {
  rig = await new Rig().start();
  await rig.create(aPod({ spec: { containers: [aContainer({ env: [{ name: "A", valueFrom: { configMapKeyRef: { name: "cm", key: "k" } } }] })] } }));
  const pod = await rig.until((p) => p?.status?.containerStatuses?.[0]?.state?.waiting?.reason === "CreateContainerConfigError");
  expect(pod.status?.containerStatuses?.[0]?.state?.waiting?.message).toBe(`configmap "cm" not found`);
});

test("a pod the node refuses fails with the reason and shows no containers", async () => {
  rig = await new Rig().start();
  await rig.create(aPod({ spec: { securityContext: { sysctls: [{ name: "kernel.msgmax", value: "1" }] } } }));
  const pod = await rig.until((p) => p?.status?.phase === "Failed");
  expect(pod.status).toMatchObject({ reason: "SysctlForbidden", message: `Pod was rejected: forbidden sysctl: "kernel.msgmax" not allowlisted` });
  expect(pod.status?.containerStatuses).toBeUndefined();
  expect(await rig.runtime.pods.listSandboxes()).toEqual([]);
});

test("a pod over its deadline is stopped and says so", async () => {
  rig = await new Rig().start();
  await rig.create(aPod({ spec: { activeDeadlineSeconds: 1 } }));
  const pod = await rig.until((p) => p?.status?.phase === "Failed");
  expect(pod.status?.reason).toBe("DeadlineExceeded");
  await rig.until(() => rig.reasons().includes("Killing"));
});

test("a manifest in the directory is a static pod with a mirror in the API, and goes with its file", async () => {
  rig = await new Rig().start();
  const directory = join(rig.dir, "data", "manifests");
  const manifest = (image: string): string => `apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: app, image: "${image}"}]}\n`;
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, "web.yaml"), manifest("app:1"));
  const mirror = await rig.until((p) => conditionOf(p, "Ready") === "True", "web-n1");
  expect(mirror.metadata.annotations).toMatchObject({ "kubernetes.io/config.source": "file", "kubernetes.io/config.mirror": mirror.metadata.annotations?.["kubernetes.io/config.hash"] as string });

  await rig.delete("web-n1", 0);
  const again = await rig.until((p) => p !== undefined && p.metadata.uid !== mirror.metadata.uid && conditionOf(p, "Ready") === "True", "web-n1");
  expect(again.status?.containerStatuses?.[0]?.restartCount).toBe(0);

  writeFileSync(join(directory, "web.yaml"), manifest("app:2"));
  await rig.until((p) => p?.spec?.containers[0]?.image === "app:2" && conditionOf(p, "Ready") === "True", "web-n1");
  rmSync(join(directory, "web.yaml"));
  await rig.until((p) => p === undefined, "web-n1");
  while (rig.kubelet.pods.all().length > 0) await Bun.sleep(2);
  expect(await rig.runtime.pods.listContainers()).toEqual([]);
});

test("a rule restarts all containers in place: init containers run again, counts go up, and the condition says so", async () => {
  const rule = { action: "RestartAllContainers", exitCodes: { operator: "In", values: [42] } };
  rig = await new Rig({ runtime: { program: ({ name }) => ({ output: "", ...(name === "setup" && { exitCode: 0, afterMs: 0 }) }) } }).start();
  await rig.create(aPod({ spec: { restartPolicy: "Never", initContainers: [aContainer({ name: "setup" })], containers: [aContainer({ restartPolicy: "Never", restartPolicyRules: [rule] }), aContainer({ name: "web" })] } }));
  const before = await rig.until((p) => conditionOf(p, "Ready") === "True");
  expect(conditionOf(before, "AllContainersRestarting")).toBe("False");
  const sandbox = (await rig.runtime.pods.listSandboxes())[0]?.id;
  rig.runtime.exit(before.status?.containerStatuses?.[0]?.containerID?.slice(7) ?? "", 42);
  const after = await rig.until((p) => conditionOf(p, "Ready") === "True" && p?.status?.containerStatuses?.every(({ restartCount }) => restartCount === 1) === true);
  expect(after.status?.initContainerStatuses?.[0]).toMatchObject({ restartCount: 1, state: { terminated: { exitCode: 0 } } });
  expect(after.status?.containerStatuses?.map(({ lastState }) => lastState?.terminated?.exitCode)).toEqual([42, 137]);
  expect((await rig.runtime.pods.listSandboxes()).map(({ id }) => id)).toEqual([sandbox as string]);
  expect(conditionOf(after, "AllContainersRestarting")).toBe("False");
}, TEST_TIMEOUT_MS);

test("a container restarts though the API is away for longer than its token is good, and what stands behind its claim cannot be asked for", async () => {
  rig = await new Rig().start();
  let isAway = false;
  rig.api.onPost = () => {
    if (isAway) throw new Error("connection refused");
    return { status: { token: "t", expirationTimestamp: new Date(Date.now() + 20).toISOString() } };
  };
  rig.addObject(builtinKind("", "v1", "PersistentVolume"), { metadata: { name: "pv" }, spec: { hostPath: { path: rig.dir }, accessModes: ["ReadWriteOnce"] } });
  rig.addObject(builtinKind("", "v1", "PersistentVolumeClaim"), { metadata: { name: "data", namespace: "default" }, spec: { volumeName: "pv" }, status: { phase: "Bound" } });
  const volumes = [{ name: "token", projected: { sources: [{ serviceAccountToken: { path: "token" } }] } }, { name: "data", persistentVolumeClaim: { claimName: "data" } }];
  await rig.create(aPod({ spec: { volumes, containers: [aContainer({ volumeMounts: [{ name: "token", mountPath: "/token" }, { name: "data", mountPath: "/data" }] })] } }));
  const before = await rig.until((p) => conditionOf(p, "Ready") === "True");
  isAway = true;
  await rig.api.delete(builtinKind("", "v1", "PersistentVolumeClaim"), { name: "data", namespace: "default" });
  await Bun.sleep(30);
  rig.runtime.exit(before.status?.containerStatuses?.[0]?.containerID?.slice(7) ?? "", 1);
  await rig.until((p) => p?.status?.containerStatuses?.[0]?.restartCount === 1 && conditionOf(p, "Ready") === "True");
});
