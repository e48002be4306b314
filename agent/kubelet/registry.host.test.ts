// Images from a real registry, with and without a password, on both runtimes: needs root, leaves nothing behind.
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { builtinKind } from "../../api/registry.ts";
import type { Container, Pod, PodSpec } from "../../api/types.ts";
import { systemClock } from "../../lib/clock.ts";
import { hostExec } from "../../lib/exec.ts";
import { TEST_TIMEOUT_MS } from "../../lib/testing.ts";
import { busyboxSource } from "../runtime/busybox-image.ts";
import { containerdPaths } from "../runtime/containerd/private.ts";
import { removePrivateContainerd } from "../runtime/containerd/remove.ts";
import { createRuntime } from "../runtime/create.ts";
import { DockerRuntime } from "../runtime/docker/runtime.ts";
import { startDockerd } from "../runtime/docker/testing.ts";
import { hostArchitecture } from "../runtime/pause/image.ts";
import { startRegistry, type TestRegistry } from "../runtime/registry-testing.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { hostMounter } from "../volumes/mount.ts";
import { aPod, Rig } from "./builders.ts";
import { CgroupFs, detectCgroups } from "./cgroupfs.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

const LOGIN = { username: "puller", password: "se:cret" };
const SECRET = builtinKind("", "v1", "Secret");
let open: TestRegistry;
let closed: TestRegistry;
let indexDigest = "";

beforeAll(async () => {
  [open, closed] = await Promise.all([startRegistry(), startRegistry(LOGIN)]);
  const other = { ...busyboxSource("x:multi"), architecture: hostArchitecture === "amd64" ? ("arm64" as const) : ("amd64" as const), cmd: ["wrong"] };
  await open.push("team/app", busyboxSource("x:1"));
  indexDigest = await open.pushIndex("team/app", "multi", [other, { ...busyboxSource("x:multi"), env: ["PATH=/bin", "RIGHT=yes"] }]);
  for (const name of ["json", "legacy", "plugin", "gated"]) await closed.push(`private/${name}`, { ...busyboxSource("x:1"), labels: { name } });
});

afterAll(async () => {
  await Promise.all([open?.stop(), closed?.stop()]);
});

interface Host {
  readonly runtime: Runtime;
  readonly dataDir: string;
  readonly dispose: () => Promise<void>;
}

async function onContainerd(): Promise<Host> {
  const dataDir = mkdtempSync("/tmp/mk8s-rg-");
  const runtime = await createRuntime({ kind: "containerd", dataDir, cniBinDir: join(dataDir, "bin"), cniConfDir: join(dataDir, "net.d"), registryConfigDir: join(dataDir, "certs.d") });
  const dispose = async (): Promise<void> => {
    await runtime.close();
    await removePrivateContainerd({ dataDir, purge: true, exec: hostExec, clock: systemClock });
    rmSync(dataDir, { recursive: true, force: true });
  };
  return { runtime, dataDir, dispose };
}

async function onDocker(): Promise<Host> {
  const engine = await startDockerd();
  const dataDir = join(engine.directory, "agent");
  mkdirSync(dataDir);
  const runtime = await DockerRuntime.connect({ socketPath: engine.socketPath, dataDir, network: { attach: () => Promise.reject(new Error("host network only")), detach: () => Promise.resolve() } });
  return { runtime, dataDir, dispose: async () => {
    await runtime.close();
    await engine.stop();
  } };
}

/** Views and copies of images that nobody uses any more. */
async function leftFiles({ runtime, dataDir }: Host): Promise<string> {
  const command = runtime.name === "docker" ? `ls ${dataDir}/docker/image-files 2>/dev/null` : `ctr -a ${containerdPaths(dataDir).socket} -n k8s.io snapshots list | grep image-volume`;
  return (await hostExec(["sh", "-c", command])).stdout.trim();
}

describe.each([["containerd", onContainerd], ["docker", onDocker]] as const)("on %s", (name, make) => {
  let host: Host;
  let rig: Rig;
  const cgroups = new CgroupFs({ driver: "cgroupfs", mounts: detectCgroups(), root: `/mk8s-registry-test-${process.pid}-${name}` });

  beforeAll(async () => {
    host = await make();
    const binDir = join(host.dataDir, "plugins");
    mkdirSync(binDir);
    writeFileSync(join(binDir, "shop"), `#!/bin/sh
cat >> ${binDir}/requests
printf '{"kind":"CredentialProviderResponse","apiVersion":"credentialprovider.kubelet.k8s.io/v1","cacheKeyType":"Registry","auth":{"%s":{"username":"%s","password":"${LOGIN.password}"}}}' "${closed.host}/private/plugin" "$1$SUFFIX"
`);
    chmodSync(join(binDir, "shop"), 0o755);
    const provider = { name: "shop", apiVersion: "credentialprovider.kubelet.k8s.io/v1", matchImages: [`${closed.host}/private/plugin`], defaultCacheMs: 60_000, args: ["pull"], env: { SUFFIX: "er" } };
    rig = new Rig({ real: { runtime: host.runtime, mounter: hostMounter, cgroups }, dataDir: host.dataDir, deps: { credentialProviders: { providers: [provider], binDir } } });
    await rig.start();
  });

  afterAll(async () => {
    await rig?.deleteAll();
    await rig?.close();
    await host?.dispose();
    await cgroups.removeAll();
  });

  const run = (podName: string, container: Partial<Container>, spec: Partial<PodSpec> = {}): Promise<Pod> => rig.create(aPod({ name: podName, uid: crypto.randomUUID(), spec: { hostNetwork: true, restartPolicy: "Never", containers: [{ name: "app", image: "", command: ["/bin/true"], imagePullPolicy: "IfNotPresent", ...container }], ...spec } }));
  const succeeded = (podName: string): Promise<Pod> => rig.until((pod) => pod?.status?.phase === "Succeeded", podName);
  const waiting = (podName: string, reason: string): Promise<Pod> => rig.until((pod) => pod?.status?.containerStatuses?.[0]?.state?.waiting?.reason === reason, podName);
  /** In either of the states that take turns while it is tried again and again. */
  const refused = (podName: string): Promise<Pod> => rig.until((pod) => ["ErrImagePull", "ImagePullBackOff"].includes(pod?.status?.containerStatuses?.[0]?.state?.waiting?.reason ?? ""), podName);
  const messages = (podName: string): string[] => rig.events.filter(({ about }) => about.name === podName).map(({ reason, message }) => `${reason}: ${message}`);
  const messageOf = (pod: Pod): string => pod.status?.containerStatuses?.[0]?.state?.waiting?.message ?? "";

  test("an image is pulled once, in upstream's words, and then found", async () => {
    const image = `${open.host}/team/app:1`;
    await run("first", { image });
    const first = await succeeded("first");
    expect(messages("first").join("\n")).toContain(`Pulling: Pulling image "${image}"`);
    expect(messages("first").join("\n")).toMatch(/Pulled: Successfully pulled image "[^"]*" in [\d.ms]+ \([\d.ms]+ including waiting\)\. Image size: [1-9]\d+ bytes\./);
    expect(first.status?.containerStatuses?.[0]?.imageID).toMatch(/sha256:[0-9a-f]{64}$/);
    await run("second", { image });
    await succeeded("second");
    expect(messages("second")).toContain(`Pulled: Container image "${image}" already present on machine and can be accessed by the pod`);
  });

  test("an index gives the image of this machine's architecture, by tag and by digest", async () => {
    const script = ["/bin/sh", "-c", "test \"$RIGHT\" = yes"];
    await run("tagged", { image: `${open.host}/team/app:multi`, command: script });
    await run("digested", { image: `${open.host}/team/app@${indexDigest}`, command: script });
    await succeeded("tagged");
    await succeeded("digested");
  });

  test("a tag that is not there, and a registry that is not there, are told apart, and tried again later", async () => {
    await run("no-tag", { image: `${open.host}/team/app:none` });
    const missing = await refused("no-tag");
    expect(messageOf(missing)).toContain("not found");
    expect(messageOf(await waiting("no-tag", "ImagePullBackOff"))).toStartWith(`Back-off pulling image "${open.host}/team/app:none": ErrImagePull: `);
    expect(messages("no-tag").join("\n")).toContain(`Failed: Failed to pull image "${open.host}/team/app:none": `);
    expect(messages("no-tag")).toContain("Failed: Error: ErrImagePull");
    await run("never", { image: `${open.host}/team/never:1`, imagePullPolicy: "Never" });
    expect(messageOf(await waiting("never", "ErrImageNeverPull"))).toBe(`Container image "${open.host}/team/never:1" is not present with pull policy of Never`);
    await run("invalid", { image: "Not/A:Name:!" });
    expect(messageOf(await waiting("invalid", "InvalidImageName"))).toContain("couldn't parse image name");
  });

  test("a registry that wants a password gets the pod's, in either form of secret, and refuses pods without", async () => {
    const auth = Buffer.from(`${LOGIN.username}:${LOGIN.password}`).toString("base64");
    const encoded = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64");
    rig.addObject(SECRET, { metadata: { name: "json", namespace: "default", uid: "s1" }, type: "kubernetes.io/dockerconfigjson", data: { ".dockerconfigjson": encoded({ auths: { [closed.host]: { auth } } }) } });
    rig.addObject(SECRET, { metadata: { name: "legacy", namespace: "default", uid: "s2" }, type: "kubernetes.io/dockercfg", data: { ".dockercfg": encoded({ [`http://${closed.host}/v2/`]: LOGIN }) } });
    rig.addObject(SECRET, { metadata: { name: "wrong", namespace: "default", uid: "s3" }, type: "kubernetes.io/dockerconfigjson", data: { ".dockerconfigjson": encoded({ auths: { [closed.host]: { username: "puller", password: "no" } } }) } });
    await run("json", { image: `${closed.host}/private/json:1` }, { imagePullSecrets: [{ name: "json" }] });
    await run("legacy", { image: `${closed.host}/private/legacy:1` }, { imagePullSecrets: [{ name: "legacy" }] });
    await succeeded("json");
    await succeeded("legacy");
    await run("nobody", { image: `${closed.host}/private/gated:1` });
    await run("wrong", { image: `${closed.host}/private/gated:1` }, { imagePullSecrets: [{ name: "wrong" }] });
    expect(messageOf(await refused("nobody"))).toMatch(/authorization|unauthorized|no basic auth/i);
    expect(messageOf(await refused("wrong"))).toMatch(/authorization|unauthorized|no basic auth/i);
  });

  test("who may not pull a private image may not use the one another pod has pulled", async () => {
    const image = `${closed.host}/private/json:1`;
    await run("again", { image }, { imagePullSecrets: [{ name: "json" }] });
    await succeeded("again");
    expect(messages("again")).toContain(`Pulled: Container image "${image}" already present on machine and can be accessed by the pod`);
    await run("thief", { image });
    await refused("thief");
    await run("hidden", { image, imagePullPolicy: "Never" });
    await waiting("hidden", "ErrImageNeverPull");
  });

  test("a credential provider of the node is asked with its arguments and environment, once per registry", async () => {
    const image = `${closed.host}/private/plugin:1`;
    await run("provided", { image });
    await succeeded("provided");
    await run("provided-again", { image, imagePullPolicy: "Always" });
    await succeeded("provided-again");
    const requests = readFileSync(join(host.dataDir, "plugins/requests"), "utf8");
    expect(JSON.parse(requests)).toEqual({ kind: "CredentialProviderRequest", apiVersion: "credentialprovider.kubelet.k8s.io/v1", image: `${closed.host}/private/plugin` });
  });

  test("an image is mounted as a volume, whole and by sub-path, read only, and let go with its pod", async () => {
    const source = busyboxSource("x:data");
    await open.push("team/data", { ...source, files: [{ path: "top.txt", content: "top" }, { path: "sub/inner.txt", content: "inner" }, { path: "link", target: "/etc" }] });
    const image = `${open.host}/team/app:1`;
    const volume = { name: "data", image: { reference: `${open.host}/team/data:data`, pullPolicy: "Always" } };
    const script = "cat /all/top.txt /part/inner.txt; echo x > /all/new || echo refused; ls /all";
    await run("mounted", { image, command: ["/bin/sh", "-c", `(${script}) > /dev/termination-log 2>/dev/null`], volumeMounts: [{ name: "data", mountPath: "/all" }, { name: "data", mountPath: "/part", subPath: "sub" }] }, { volumes: [volume] });
    const { status } = await succeeded("mounted");
    expect(status?.containerStatuses?.[0]?.state?.terminated?.message).toBe("topinnerrefused\nlink\nsub\ntop.txt\n");
    const absent = await run("absent", { image, volumeMounts: [{ name: "data", mountPath: "/part", subPath: "none" }] }, { volumes: [volume] });
    expect(messageOf(await waiting("absent", "CreateContainerConfigError"))).toContain("does not exist in the volume");
    await run("out", { image, volumeMounts: [{ name: "data", mountPath: "/part", subPath: "link" }] }, { volumes: [volume] });
    expect(messageOf(await waiting("out", "CreateContainerConfigError"))).toContain("outside of the volume");
    const podDir = rig.kubelet.node.paths.pod(absent.metadata.uid ?? "");
    expect((await hostMounter.below(podDir)).some((point) => point.includes("kubernetes.io~image/data"))).toBe(true);
    for (const podName of ["mounted", "absent", "out"]) await rig.delete(podName, 1);
    for (const podName of ["mounted", "absent", "out"]) await rig.until((pod) => pod === undefined, podName);
    await rig.settled();
    expect(await hostMounter.below(podDir)).toEqual([]);
    expect(existsSync(podDir)).toBe(false);
    expect(await leftFiles(host)).toBe("");
  });

  test.if(name === "containerd")("a registry elsewhere, without TLS, is reached as the node's hosts.toml says", async () => {
    const directory = join(host.dataDir, "certs.d", "registry.test");
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, "hosts.toml"), `[host."http://${open.host}"]\n  capabilities = ["pull", "resolve"]\n`);
    await run("mirrored", { image: "registry.test/team/app:1" });
    await succeeded("mirrored");
    expect(messages("mirrored").join("\n")).toContain(`Successfully pulled image "registry.test/team/app:1"`);
  });
});
