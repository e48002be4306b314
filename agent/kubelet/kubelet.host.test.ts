// The kubelet on a real containerd, with real mounts and cgroups: needs root, leaves nothing behind.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { builtinKind } from "../../api/registry.ts";
import type { Container, Pod, PodSpec } from "../../api/types.ts";
import { systemClock } from "../../lib/clock.ts";
import { hostExec } from "../../lib/exec.ts";
import { becomes, eventually, TEST_TIMEOUT_MS } from "../../lib/testing.ts";
import { busyboxImage } from "../runtime/busybox-image.ts";
import { removePrivateContainerd } from "../runtime/containerd/remove.ts";
import { createRuntime } from "../runtime/create.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { hostMounter } from "../volumes/mount.ts";
import { aPod, conditionOf, Rig } from "./builders.ts";
import { CgroupFs, detectCgroups } from "./cgroupfs.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

const IMAGE = "minik8s.test/busybox:kubelet";
const REPO = join(import.meta.dir, "../..");
const BRIDGE = `mk8sk${process.pid}`;
const CGROUPS = `/mk8s-kubelet-test-${process.pid}`;
const dataDir = mkdtempSync("/tmp/mk8s-kl-");
let runtime: Runtime;
let rig: Rig;
const cgroups = new CgroupFs({ driver: "cgroupfs", mounts: detectCgroups(), root: CGROUPS, podPidsLimit: 60 });

/** The repository's own CNI plugins, as executables. */
function installPlugins(binDir: string, confDir: string): void {
  mkdirSync(binDir, { recursive: true });
  mkdirSync(confDir, { recursive: true });
  const main = join(dataDir, "cni.ts");
  writeFileSync(main, `import { cniMain } from ${JSON.stringify(join(REPO, "cni/main.ts"))};\nprocess.exit(await cniMain(process.env.MINIK8S_CNI_PLUGIN ?? ""));\n`);
  for (const plugin of ["bridge", "host-local", "loopback", "portmap"]) {
    writeFileSync(join(binDir, plugin), `#!/bin/sh\nMINIK8S_CNI_PLUGIN=${plugin} exec ${process.execPath} ${main}\n`);
    chmodSync(join(binDir, plugin), 0o755);
  }
  writeFileSync(join(confDir, "10-test.conflist"), JSON.stringify({ cniVersion: "1.0.0", name: "kubelet-test", plugins: [
    { type: "bridge", bridge: BRIDGE, isGateway: true, ipMasq: false, ipam: { type: "host-local", dataDir: join(dataDir, "ipam"), ranges: [[{ subnet: "10.253.77.0/24" }]], routes: [{ dst: "0.0.0.0/0" }] } },
  ] }));
}

const container = (overrides: Partial<Container>): Container => ({ name: "app", image: IMAGE, imagePullPolicy: "Never", ...overrides });
const aRealPod = (name: string, spec: Partial<PodSpec>, uid: string = crypto.randomUUID()): Pod => aPod({ name, uid, spec });
const sh = (script: string): string[] => ["/bin/sh", "-c", script];
const rest = "trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done";

beforeAll(async () => {
  installPlugins(join(dataDir, "cni/bin"), join(dataDir, "cni/conf"));
  runtime = await createRuntime({ kind: "containerd", dataDir, cniBinDir: join(dataDir, "cni/bin"), cniConfDir: join(dataDir, "cni/conf") });
  const tar = join(dataDir, "busybox.tar");
  writeFileSync(tar, busyboxImage(IMAGE));
  await runtime.images.load(tar);
  while (!(await runtime.images.status(IMAGE))) await Bun.sleep(20);
  rig = new Rig({ real: { runtime, mounter: hostMounter, cgroups }, dataDir });
  await rig.start();
});

afterAll(async () => {
  await rig?.deleteAll();
  await rig?.close();
  await runtime?.close();
  await removePrivateContainerd({ dataDir, purge: true, exec: hostExec, clock: systemClock });
  await hostExec(["ip", "link", "delete", BRIDGE]);
  await cgroups.removeAll();
  rmSync(dataDir, { recursive: true, force: true });
});

async function logOf(pod: Pod, name = "app"): Promise<string> {
  const text = readFileSync(join(rig.kubelet.node.paths.podLogDirectory(pod), name, "0.log"), "utf8");
  return text.split("\n").map((line) => line.split(" ").slice(3).join(" ")).join("\n").trim();
}

test("a pod runs, sees its environment, volumes and names, and ends", async () => {
  rig.addObject(builtinKind("", "v1", "ConfigMap"), { metadata: { name: "cm", namespace: "default" }, data: { key: "from the map" } });
  const script = "echo $GREETING; cat /etc/cm/key; echo; cat /etc/secretless/name; echo; hostname; cat /etc/hosts | grep kubelet-; id -u; echo last words > /dev/termination-log; ls -ld /scratch | cut -c1-10";
  const pod = await rig.create(aRealPod("all", {
    restartPolicy: "Never",
    hostname: "kubelet-host",
    securityContext: { runAsUser: 1234, fsGroup: 4321 },
    containers: [container({ command: sh(script), env: [{ name: "WHO", value: "world" }, { name: "GREETING", value: "hello $(WHO)" }], volumeMounts: [{ name: "cm", mountPath: "/etc/cm" }, { name: "down", mountPath: "/etc/secretless" }, { name: "scratch", mountPath: "/scratch" }] })],
    volumes: [{ name: "cm", configMap: { name: "cm" } }, { name: "down", downwardAPI: { items: [{ path: "name", fieldRef: { fieldPath: "metadata.name" } }] } }, { name: "scratch", emptyDir: { medium: "Memory", sizeLimit: "1Mi" } }],
  }));
  const done = await rig.until((p) => p?.status?.phase === "Succeeded", "all");
  expect(done.status?.containerStatuses?.[0]?.state?.terminated).toMatchObject({ exitCode: 0, message: "last words\n" });
  const lines = (await logOf(pod)).split("\n");
  expect(lines).toEqual(["hello world", "from the map", "all", "kubelet-host", expect.stringMatching(/^10\.253\.77\.\d+\tkubelet-host$/), "1234", "drwxrwsrwx"]);
});

test("limits reach the pod's cgroup, and deleting the pod removes it, its mounts and its directories", async () => {
  const pod = await rig.create(aRealPod("limited", { containers: [container({ command: sh(rest), resources: { requests: { cpu: "100m", memory: "32Mi" }, limits: { cpu: "200m", memory: "64Mi" } }, volumeMounts: [{ name: "m", mountPath: "/m" }] })], volumes: [{ name: "m", emptyDir: { medium: "Memory" } }] }));
  await rig.until((p) => conditionOf(p, "Ready") === "True", "limited");
  const cgroup = `/sys/fs/cgroup/memory${CGROUPS}/kubepods/burstable/pod${pod.metadata.uid}`;
  expect(readFileSync(join(cgroup, "memory.limit_in_bytes"), "utf8").trim()).toBe(String(64 * 1024 * 1024));
  await rig.delete("limited", 5);
  await rig.until((p) => p === undefined, "limited");
  await rig.settled();
  expect(existsSync(cgroup)).toBe(false);
  expect(existsSync(rig.kubelet.node.paths.pod(pod.metadata.uid))).toBe(false);
  expect(await hostMounter.below(rig.kubelet.node.paths.pod(pod.metadata.uid))).toEqual([]);
});

test("what of /proc and /sys could hurt the machine is out of sight, unless a container is privileged", async () => {
  const look = sh("(wc -c < /proc/timer_list; ls /sys/firmware | wc -l; grep -c ' /proc/sys proc ro' /proc/mounts) > /dev/termination-log");
  await rig.create(aRealPod("masked", { restartPolicy: "Never", containers: [container({ command: look })] }));
  const done = await rig.until((p) => p?.status?.phase === "Succeeded" || p?.status?.phase === "Failed", "masked");
  expect(done.status?.containerStatuses?.[0]?.state?.terminated?.message).toBe("0\n0\n1\n");
});

test("a claim for a raw device gives the container the device, and a directory is refused", async () => {
  const claimOf = (name: string, path: string): void => {
    rig.addObject(builtinKind("", "v1", "PersistentVolume"), { metadata: { name: `pv-${name}` }, spec: { local: { path }, volumeMode: "Block", accessModes: ["ReadWriteOnce"] } });
    rig.addObject(builtinKind("", "v1", "PersistentVolumeClaim"), { metadata: { name, namespace: "default" }, spec: { volumeName: `pv-${name}`, volumeMode: "Block" }, status: { phase: "Bound" } });
  };
  const device = (await hostExec(["sh", "-c", `truncate -s 1M ${dataDir}/disk && printf marked | dd of=${dataDir}/disk conv=notrunc 2>/dev/null && losetup -f --show ${dataDir}/disk`])).stdout.trim();
  try {
    claimOf("raw", device);
    claimOf("dir", dataDir);
    const podOf = (name: string): Pod => aRealPod(name, { restartPolicy: "Never", volumes: [{ name: "d", persistentVolumeClaim: { claimName: name } }], containers: [container({ command: sh("head -c 6 /dev/xvda > /dev/termination-log; printf again | dd of=/dev/xvda conv=notrunc 2>/dev/null; sync"), volumeDevices: [{ name: "d", devicePath: "/dev/xvda" }] })] });
    await rig.create(podOf("raw"));
    const done = await rig.until((p) => p?.status?.phase === "Succeeded" || p?.status?.phase === "Failed", "raw");
    expect(done.status?.containerStatuses?.[0]?.state?.terminated?.message).toBe("marked");
    expect(readFileSync(join(dataDir, "disk"), "utf8").slice(0, 6)).toBe("againd");
    await rig.create(podOf("dir"));
    await eventually("the directory is refused", () => rig.events.some(({ reason, message }) => reason === "FailedMount" && message.includes("is no block device")));
    await rig.delete("dir", 0);
  } finally {
    await hostExec(["losetup", "-d", device]);
  }
});

test("a container that forks without end stays within its pod's processes, and can be deleted", async () => {
  const pod = await rig.create(aRealPod("bomb", { terminationGracePeriodSeconds: 1, containers: [container({ command: sh("bomb() { bomb | bomb & }; while :; do bomb; sleep 1; done") })] }));
  const pids = `/sys/fs/cgroup/pids${CGROUPS}/kubepods/besteffort/pod${pod.metadata.uid}`;
  const read = (file: string): number => (existsSync(join(pids, file)) ? Number(readFileSync(join(pids, file), "utf8")) : 0);
  await eventually("fifty processes", () => read("pids.current") >= 50);
  expect([read("pids.max"), read("pids.current") <= 60]).toEqual([60, true]);
  await rig.delete("bomb", 1);
  await rig.until((p) => p === undefined, "bomb");
  await rig.settled();
  expect(existsSync(pids)).toBe(false);
});

test("a restarted agent restarts nothing", async () => {
  await rig.create(aRealPod("stays", { containers: [container({ command: sh(rest) })] }));
  const before = await rig.until((p) => conditionOf(p, "Ready") === "True", "stays");
  await rig.restart();
  await Bun.sleep(500);
  expect(rig.pod("stays")?.status).toEqual(before.status as NonNullable<typeof before.status>);
});

test("a sub-path is mounted, and one that leads out is refused", async () => {
  const prepare = container({ name: "prepare", command: sh("mkdir /v/in && echo x > /v/in/f && ln -s /etc /v/out"), volumeMounts: [{ name: "v", mountPath: "/v" }] });
  const volumes = [{ name: "v", emptyDir: {} }];
  await rig.create(aRealPod("inside", { restartPolicy: "Never", initContainers: [prepare], volumes, containers: [container({ command: sh("cat /x/f"), volumeMounts: [{ name: "v", mountPath: "/x", subPath: "in" }] })] }));
  await rig.create(aRealPod("outside", { initContainers: [prepare], volumes, containers: [container({ command: sh("true"), volumeMounts: [{ name: "v", mountPath: "/x", subPath: "out" }] })] }));
  await rig.until((p) => p?.status?.phase === "Succeeded", "inside");
  const refused = await rig.until((p) => p?.status?.containerStatuses?.[0]?.state?.waiting?.reason === "CreateContainerConfigError", "outside");
  expect(refused.status?.containerStatuses?.[0]?.state?.waiting?.message).toContain("outside of the volume");
});

/** What a node holds of pods: mounts, cgroups, links, network namespaces and shims. */
async function holdings(): Promise<Record<string, number>> {
  const count = async (command: string): Promise<number> => Number((await hostExec(["sh", "-c", `${command} | wc -l`])).stdout.trim());
  return {
    mounts: (await hostMounter.below(dataDir)).filter((point) => !point.includes("/containerd/")).length,
    cgroups: await count(`find /sys/fs/cgroup/*${CGROUPS} -type d -name 'pod*' 2>/dev/null`),
    links: await count(`ip -o link show master ${BRIDGE} 2>/dev/null`),
    shims: await count(`pgrep -f '[c]ontainerd-shim.*${dataDir}'`),
    podDirectories: await count(`ls ${rig.kubelet.node.paths.pods}`),
    logs: await count(`ls ${join(rig.dir, "logs/pods")}`),
  };
}

const NOTHING = { mounts: 0, cgroups: 0, links: 0, shims: 0, podDirectories: 0, logs: 0 };

test("pods that come and go under an agent that keeps dying leave nothing behind", async () => {
  await rig.deleteAll();
  // A shim outlives its pod's removal for a moment.
  await becomes(NOTHING, holdings);
  const names = ["a", "b", "c"];
  for (const name of names) await rig.create(aRealPod(name, { terminationGracePeriodSeconds: 1, containers: [container({ command: sh(rest), volumeMounts: [{ name: "m", mountPath: "/m" }, { name: "s", mountPath: "/s", subPath: "x" }] })], volumes: [{ name: "m", emptyDir: { medium: "Memory" } }, { name: "s", emptyDir: {} }] }));
  for (const pauseMs of [60, 120, 180]) {
    await Bun.sleep(pauseMs);
    await rig.crash();
  }
  for (const name of names) await rig.until((p) => conditionOf(p, "Ready") === "True", name);
  for (const name of names) await rig.delete(name, 1);
  await Bun.sleep(50);
  await rig.crash();
  for (const name of names) await rig.until((p) => p === undefined, name);
  await rig.deleteAll();
  // What a dying agent had asked for last may come to be after the others are gone; the agent looks for such again and again.
  await becomes(NOTHING, async () => {
    await rig.kubelet.pods.removeOrphans();
    return holdings();
  });
});
