// Volumes on a real directory, without root: what a container would see, and that nothing leads out.
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, readlinkSync, rmSync, statSync, symlinkSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Pod, Volume } from "../../api/types.ts";
import { FakeClock } from "../../lib/clock.ts";
import { FakeRuntime } from "../runtime/fake.ts";
import { writeAtomically } from "./atomicwriter.ts";
import { emptyDir } from "./emptydir.ts";
import { fileVolumes } from "./filevolume.ts";
import { hostPath } from "./hostpath.ts";
import type { Mounter } from "./mount.ts";
import type { PayloadSources } from "./payload.ts";
import { safeSubPath } from "./subpath.ts";
import { createVolumes, type VolumeOperation } from "./volumes.ts";
import type { Volumes } from "./volume.ts";

let dir: string;
const signal = new AbortController().signal;
const mounter: Mounter = { tmpfs: async () => undefined, hugetlbfs: async () => undefined, bind: async () => undefined, image: async () => undefined, unmount: async () => undefined, isMountPoint: async () => false, below: async () => [] };
const configMaps: Record<string, { data?: Record<string, string>; binaryData?: Record<string, string> }> = {};
const sources: PayloadSources = {
  configMap: async (_namespace, name) => configMaps[name],
  secret: async (_namespace, name) => (name === "s" ? { data: { password: Buffer.from("hunter2").toString("base64") } } : undefined),
  token: async (_pod, { audience }) => `token-for-${audience ?? "api"}`,
  fieldValue: (pod, path) => (path === "metadata.name" ? (pod.metadata.name ?? "") : "?"),
  resourceValue: () => "2",
};
let volumes: Volumes;
let operations: VolumeOperation[];

beforeEach(() => {
  operations = [];
  dir = mkdtempSync(join(tmpdir(), "kubelet-volumes-"));
  volumes = createVolumes({ kinds: [emptyDir(mounter, () => 1 << 20), hostPath(), ...fileVolumes(mounter, sources)], mounter, images: new FakeRuntime({ clock: new FakeClock(0) }).images, resolve: async (_pod, volume) => volume, podsDir: dir, clock: new FakeClock(0), onOperation: (operation) => operations.push(operation) });
  for (const name of Object.keys(configMaps)) delete configMaps[name];
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const aPodWith = (volume: Volume): Pod => ({ metadata: { name: "p", namespace: "ns", uid: "u" }, spec: { containers: [{ name: "c", volumeMounts: [{ name: volume.name, mountPath: "/v" }] }], volumes: [volume] } });
const setup = async (volume: Volume): Promise<string> => (await volumes.setup(aPodWith(volume), signal)).get(volume.name)?.hostPath ?? "";

test("a config map's keys are files that appear and change together", async () => {
  configMaps["cm"] = { data: { a: "1", b: "2" }, binaryData: { c: Buffer.from([0, 255]).toString("base64") } };
  const path = await setup({ name: "v", configMap: { name: "cm", defaultMode: 0o400 } });
  expect(readFileSync(join(path, "a"), "utf8")).toBe("1");
  expect([...readFileSync(join(path, "c"))]).toEqual([0, 255]);
  expect(statSync(join(path, "a")).mode & 0o777).toBe(0o400);
  expect(readlinkSync(join(path, "a"))).toBe("..data/a");
  const before = readlinkSync(join(path, "..data"));

  configMaps["cm"] = { data: { a: "new" } };
  await setup({ name: "v", configMap: { name: "cm", defaultMode: 0o400 } });
  expect(readFileSync(join(path, "a"), "utf8")).toBe("new");
  expect(existsSync(join(path, "b"))).toBe(false);
  expect(existsSync(join(path, before))).toBe(false);
});

test("content that did not change is not written again", async () => {
  configMaps["cm"] = { data: { "deep": "1" } };
  const volume: Volume = { name: "v", configMap: { name: "cm", items: [{ key: "deep", path: "x/y/z" }] } };
  const path = await setup(volume);
  const before = readlinkSync(join(path, "..data"));
  await setup(volume);
  expect(readlinkSync(join(path, "..data"))).toBe(before);
  expect(readFileSync(join(path, "x/y/z"), "utf8")).toBe("1");
});

test("a missing source fails in upstream's words unless it is optional", async () => {
  await expect(setup({ name: "v", configMap: { name: "none" } })).rejects.toThrow(`configmap "none" not found`);
  await expect(setup({ name: "v", secret: { secretName: "none" } })).rejects.toThrow(`secret "none" not found`);
  await expect(setup({ name: "v", secret: { secretName: "s", items: [{ key: "k", path: "k" }] } })).rejects.toThrow("references non-existent secret key: k");
  const path = await setup({ name: "v", configMap: { name: "none", optional: true } });
  expect(existsSync(join(path, "..data"))).toBe(true);
});

test("a projected volume puts its sources into one directory", async () => {
  configMaps["kube-root-ca.crt"] = { data: { "ca.crt": "CA" } };
  const path = await setup({ name: "v", projected: { defaultMode: 0o644, sources: [
    { serviceAccountToken: { path: "token", expirationSeconds: 3607 } },
    { configMap: { name: "kube-root-ca.crt", items: [{ key: "ca.crt", path: "ca.crt" }] } },
    { downwardAPI: { items: [{ path: "name", fieldRef: { fieldPath: "metadata.name" } }] } },
    { secret: { name: "s" } },
  ] } });
  expect(["token", "ca.crt", "name", "password"].map((file) => readFileSync(join(path, file), "utf8"))).toEqual(["token-for-api", "CA", "p", "hunter2"]);
});

test("paths that would leave the volume are refused", async () => {
  for (const path of ["../x", "/x", "a/../../x", "..x", ""]) await expect(writeAtomically(dir, new Map([[path, { data: new Uint8Array(), mode: 0o644 }]]), async () => undefined)).rejects.toThrow("invalid path");
});

test("hostPath checks what is there against its type", async () => {
  writeFileSync(join(dir, "file"), "");
  await expect(setup({ name: "v", hostPath: { path: join(dir, "file"), type: "Directory" } })).rejects.toThrow(`hostPath type check failed: ${join(dir, "file")} is not a directory`);
  expect(await setup({ name: "v", hostPath: { path: join(dir, "new"), type: "DirectoryOrCreate" } })).toBe(join(dir, "new"));
  expect(statSync(join(dir, "new")).isDirectory()).toBe(true);
  await setup({ name: "v", hostPath: { path: join(dir, "f2"), type: "FileOrCreate" } });
  expect(statSync(join(dir, "f2")).isFile()).toBe(true);
});

test("volumes no container mounts are not made, and teardown leaves nothing", async () => {
  const pod = aPodWith({ name: "v", emptyDir: {} });
  pod.spec?.volumes?.push({ name: "unused", configMap: { name: "none" } });
  const path = (await volumes.setup(pod, signal)).get("v")?.hostPath ?? "";
  expect(statSync(path).mode & 0o777).toBe(0o777);
  await volumes.teardown("u");
  expect(existsSync(path)).toBe(false);
  await volumes.teardown("u");
});

test("a sub-path that a symbolic link leads out of the volume is refused", async () => {
  const root = join(dir, "vol");
  mkdirSync(root);
  symlinkSync("/etc", join(root, "out"));
  symlinkSync("inside", join(root, "in"));
  mkdirSync(join(root, "inside"));
  const at = (subPath: string): Promise<string> => safeSubPath({ mounter, root, subPath, target: join(dir, "t") });
  await expect(at("out")).rejects.toThrow("outside of the volume");
  await expect(at("out/passwd")).rejects.toThrow("outside of the volume");
  await expect(at("../x")).rejects.toThrow("unable to provision SubPath `../x`: must not contain '..'");
  expect(await at("in")).toBe(join(dir, "t"));
  // As in volumes made of config maps, whose keys lead through a directory with two dots in front.
  mkdirSync(join(root, "..2026"));
  symlinkSync("..2026", join(root, "key"));
  expect(await at("key")).toBe(join(dir, "t"));
  expect(await at("new/deep")).toBe(join(dir, "t"));
  expect(existsSync(join(root, "new/deep"))).toBe(true);
});

test("a volume counts as wanted and mounted by its kind until its pod is torn down, and its one mount is timed", async () => {
  configMaps["cm"] = { data: { a: "1" } };
  await setup({ name: "v", configMap: { name: "cm" } });
  await volumes.setup({ ...aPodWith({ name: "gone", hostPath: { path: "/does/not/exist", type: "Directory" } }), metadata: { name: "q", namespace: "ns", uid: "q" } }, signal).catch(() => undefined);
  await setup({ name: "v", configMap: { name: "cm" } });
  expect(volumes.counts()).toEqual([{ plugin: "kubernetes.io/configmap", wanted: 1, mounted: 1 }, { plugin: "kubernetes.io/host-path", wanted: 1, mounted: 0 }]);
  expect(operations.map(({ name, plugin, hasFailed }) => [name, plugin, hasFailed])).toEqual([["volume_mount", "kubernetes.io/configmap", false], ["volume_mount", "kubernetes.io/host-path", true]]);
  await volumes.teardown("u");
  await volumes.teardown("q");
  expect(volumes.counts()).toEqual([]);
});

test("what an earlier process mounted for a pod that runs counts once its volumes are refreshed", async () => {
  await volumes.refresh(aPodWith({ name: "v", emptyDir: {} }), signal);
  expect(volumes.counts()).toEqual([{ plugin: "kubernetes.io/empty-dir", wanted: 1, mounted: 1 }]);
});
