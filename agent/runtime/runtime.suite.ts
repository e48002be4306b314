// What every container runtime promises the kubelet, as tests; each implementation runs them.
// Bringing a runtime up, and an image that holds busybox, is the caller's.
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, Writable } from "node:stream";
import { eventually, TEST_TIMEOUT_MS, PATIENCE_MS } from "../../lib/testing.ts";
import { parseLogEntry } from "./cri-log.ts";
import { type ContainerConfig, type ContainerRecord, type Runtime, RuntimeError, type RuntimeEvent, type SandboxConfig } from "./runtime.ts";

/** The size is told to a program that runs already: prints it once it is that, or what it is after a minute. */
const SIZE_OF_99_BY_33 = 'i=0; while [ "$(stty size 2>/dev/null)" != "33 99" ] && [ $i -lt 600 ]; do sleep 0.1; i=$((i+1)); done; stty size';
const SUITE_CGROUP = `minik8s-suite-${process.pid}`;

/** A runtime under test. `image` is present, holds busybox and runs until stopped by default. */
export interface RuntimeUnderTest {
  readonly runtime: Runtime;
  readonly image: string;
  /** Whether processes, cgroups and files are real. */
  readonly real: boolean;
  dispose(): Promise<void>;
}

/** Registers the suite for one implementation. */
export function runtimeSuite(name: string, create: () => Promise<RuntimeUnderTest>): void {
  setDefaultTimeout(TEST_TIMEOUT_MS);
  describe(name, () => {
    let under: RuntimeUnderTest;
    let logs: string;
    const stop = new AbortController();
    const events: RuntimeEvent[] = [];
    beforeAll(async () => {
      under = await create();
      logs = mkdtempSync(join(tmpdir(), "minik8s-runtime-suite-"));
      const stream = under.runtime.pods.events(stop.signal);
      void (async () => {
        for await (const event of stream) events.push(event);
      })();
    });
    afterAll(async () => {
      stop.abort();
      await Promise.all((await under.runtime.pods.listSandboxes()).map(async ({ id }) => {
        await under.runtime.pods.stopSandbox(id);
        await under.runtime.pods.removeSandbox(id);
      }));
      rmSync(logs, { recursive: true, force: true });
      await under.dispose();
      if (under.real) removeSuiteCgroups();
    });

    let serial = 0;
    const pod = async (overrides: Partial<SandboxConfig> = {}): Promise<{ id: string; config: SandboxConfig; run: (container?: Partial<ContainerConfig>) => Promise<string> }> => {
      const { runtime, image } = under;
      const config = aSandbox({ uid: `uid-${++serial}`, logDirectory: join(logs, String(serial)), ...overrides });
      const id = await runtime.pods.runSandbox(config);
      const run = async (container: Partial<ContainerConfig> = {}): Promise<string> => {
        const containerId = await runtime.pods.createContainer(id, aContainer({ image, ...container }), config);
        await runtime.pods.startContainer(containerId);
        return containerId;
      };
      return { id, config, run };
    };
    const status = async (id: string): Promise<ContainerRecord> => (await under.runtime.pods.containerStatus(id))!;
    const exited = async (id: string): Promise<ContainerRecord> => {
      await eventually("its end", async () => (await status(id)).state === "exited");
      return status(id);
    };

    const onReal = (name: string, run: () => Promise<void>): void => test(name, () => (under.real ? run() : Promise.resolve()));

    test("a sandbox is listed with its identity, labels and annotations", async () => {
      const { id, config } = await pod({ labels: { app: "web" }, annotations: { note: "a b" } });
      const found = (await under.runtime.pods.listSandboxes()).find((sandbox) => sandbox.id === id);
      expect(found).toMatchObject({ id, name: config.name, namespace: config.namespace, uid: config.uid, attempt: 0, state: "ready", labels: { app: "web" }, annotations: { note: "a b" } });
      expect(await under.runtime.pods.sandboxStatus(id)).toMatchObject({ id, uid: config.uid, state: "ready" });
      expect(await under.runtime.pods.sandboxStatus("0123456789abcdef".repeat(4))).toBeUndefined();
    });

    test("a container goes from created to running to exited with its code", async () => {
      const { id, config } = await pod();
      const { pods } = under.runtime;
      const containerId = await pods.createContainer(id, aContainer({ image: under.image, command: ["/bin/sh", "-c", "exit 3"], labels: { tier: "x" } }), config);
      expect(await status(containerId)).toMatchObject({ state: "created", name: "main", labels: { tier: "x" }, sandboxId: id });
      await pods.startContainer(containerId);
      const record = await exited(containerId);
      expect(record).toMatchObject({ state: "exited", exitCode: 3, reason: "Error" });
      expect(record.finishedAt).toBeGreaterThanOrEqual(record.startedAt!);
      expect(record.imageId).not.toBe("");
    });

    test("exit code 0 is Completed", async () => {
      const { run } = await pod();
      expect(await exited(await run({ command: ["/bin/sh", "-c", "exit 0"] }))).toMatchObject({ exitCode: 0, reason: "Completed" });
    });

    test("a stop waits for the process to be gone", async () => {
      const { run } = await pod();
      const id = await run({ command: ["/bin/sh", "-c", "sleep 1000"] });
      await under.runtime.pods.stopContainer(id, 1);
      expect((await status(id)).state).toBe("exited");
    });

    test("a process that ignores the stop signal is killed when its time is up", async () => {
      const { run } = await pod();
      const id = await run({ command: ["/bin/sh", "-c", "trap '' TERM; while true; do sleep 1; done"] });
      await under.runtime.pods.stopContainer(id, 1);
      expect(await status(id)).toMatchObject({ state: "exited", exitCode: 137 });
    });

    test("stopping and removing what is not there succeeds", async () => {
      const { pods } = under.runtime;
      const absent = "0123456789abcdef".repeat(4);
      await pods.stopContainer(absent, 1);
      await pods.removeContainer(absent);
      await pods.stopSandbox(absent);
      await pods.removeSandbox(absent);
      expect(await pods.containerStatus(absent)).toBeUndefined();
    });

    test("a stopped sandbox is not ready and its containers have exited", async () => {
      const { id, run } = await pod();
      const containerId = await run();
      await under.runtime.pods.stopSandbox(id);
      await under.runtime.pods.stopSandbox(id);
      expect((await under.runtime.pods.listSandboxes()).find((sandbox) => sandbox.id === id)?.state).toBe("notready");
      expect((await status(containerId)).state).toBe("exited");
      await under.runtime.pods.removeSandbox(id);
      expect((await under.runtime.pods.listSandboxes()).some((sandbox) => sandbox.id === id)).toBe(false);
      expect(await under.runtime.pods.containerStatus(containerId)).toBeUndefined();
    });

    test("an image that is not present is said to be", async () => {
      const { id, config } = await pod();
      expect(await under.runtime.images.status("minik8s.test/absent:1")).toBeUndefined();
      // `expect().rejects` would stop the event loop that the answer has to come through.
      const outcome = await under.runtime.pods.createContainer(id, aContainer({ image: "minik8s.test/absent:1" }), config).catch((error: unknown) => error);
      expect(outcome).toBeInstanceOf(RuntimeError);
    });

    test("a present image has an id, its tag and a size", async () => {
      const image = await under.runtime.images.status(under.image);
      expect(image?.repoTags).toContain(under.image);
      expect(image?.sizeBytes).toBeGreaterThan(0);
      expect((await under.runtime.images.list()).map(({ id }) => id)).toContain(image!.id);
    });

    test("starts and ends are told as events", async () => {
      const { config, run } = await pod();
      const id = await run({ command: ["/bin/sh", "-c", "exit 0"] });
      await eventually("its events", () => ["started", "stopped"].every((type) => events.some((event) => event.id === id && event.type === type && event.podUid === config.uid)));
    });

    test("output is in the log file, in CRI format", async () => {
      const { run } = await pod();
      const record = await exited(await run({ command: ["/bin/sh", "-c", "echo one; echo two"] }));
      await eventually("two lines", () => logLines(record.logPath).length === 2);
      expect(logLines(record.logPath).map((entry) => [entry.stream, entry.content.toString()])).toEqual([["stdout", "one"], ["stdout", "two"]]);
    });

    test("execSync tells output and exit code, and keeps no more than asked", async () => {
      const { run } = await pod();
      const id = await run();
      const { streaming } = under.runtime;
      expect(await streaming.execSync(id, ["/bin/sh", "-c", "echo hello; exit 4"], { timeoutMs: PATIENCE_MS, maxBytes: 1024 })).toEqual({ exitCode: 4, output: "hello\n" });
      expect((await streaming.execSync(id, ["echo", "0123456789"], { timeoutMs: PATIENCE_MS, maxBytes: 4 })).output).toBe("0123");
    });

    test("exec carries stdin to stdout until stdin ends, and resolves with the exit code", async () => {
      const { run } = await pod();
      const id = await run();
      const stdin = new PassThrough();
      const stdout = new Sink();
      const done = under.runtime.streaming.exec(id, ["cat"], { stdin, stdout, tty: false, signal: stop.signal });
      stdin.write("ping ");
      stdin.end("pong");
      expect(await done).toBe(0);
      expect(stdout.text()).toBe("ping pong");
    });

    onReal("a slow reader of an exec gets all of it, and the code", async () => {
      const { run } = await pod();
      let bytes = 0;
      const stdout = new Writable({ highWaterMark: 1, write: (chunk: Buffer, _encoding, done) => (bytes += chunk.length, setTimeout(done, 1)) });
      const code = await under.runtime.streaming.exec(await run(), ["/bin/sh", "-c", "head -c 5000000 /dev/zero; exit 6"], { stdout, tty: false, signal: stop.signal });
      expect([code, bytes]).toEqual([6, 5_000_000]);
    });

    test("exec resolves with a failing command's code", async () => {
      const { run } = await pod();
      const stdout = new Sink();
      expect(await under.runtime.streaming.exec(await run(), ["/bin/sh", "-c", "echo no; exit 7"], { stdout, tty: false, signal: stop.signal })).toBe(7);
      expect(stdout.text()).toBe("no\n");
    });

    test("attach joins the first process's stdin and stdout", async () => {
      const { run } = await pod();
      const id = await run({ command: ["cat"], stdin: true, stdinOnce: true });
      const stdin = new PassThrough();
      const stdout = new Sink();
      const done = under.runtime.streaming.attach(id, { stdin, stdout, tty: false, signal: stop.signal });
      stdin.end("typed\n");
      await done;
      expect(stdout.text()).toBe("typed\n");
    });

    test("port-forward to a sandbox that does not exist says so", async () => {
      const outcome = await under.runtime.streaming.portForward("0123456789abcdef".repeat(4), 80).catch((error: unknown) => error);
      expect(outcome).toBeInstanceOf(RuntimeError);
    });

    const output = async (id: string, ...command: string[]): Promise<string> => (await under.runtime.streaming.execSync(id, command, { timeoutMs: PATIENCE_MS, maxBytes: 4096 })).output.trim();

    onReal("a command that runs too long is ended, and said to be", async () => {
      const { run } = await pod();
      const id = await run();
      const outcome = await under.runtime.streaming.execSync(id, ["sleep", "77777"], { timeoutMs: 1000, maxBytes: 10 }).catch((error: unknown) => error);
      expect(outcome).toMatchObject({ name: "RuntimeError", reason: "Timeout" });
      await eventually("the end of its child", async () => !(await output(id, "ps")).includes("77777"));
    });

    onReal("containers find the names their pod was given, the machine's where it was given none, and their own file where they mount one", async () => {
      const own = join(logs, "own.conf");
      writeFileSync(own, "nameserver 10.0.0.53\n");
      const machines = readFileSync("/etc/resolv.conf", "utf8").match(/^nameserver .*$/gm) ?? [];
      const named = await pod({ dns: { servers: ["10.96.0.10"], searches: ["default.svc.cluster.local", "lan"], options: ["ndots:5"] } });
      const read = async (id: string): Promise<string[]> => (await output(id, "cat", "/etc/resolv.conf")).split("\n").map((line) => line.trim()).toSorted();
      expect(await read(await named.run())).toEqual(["nameserver 10.96.0.10", "options ndots:5", "search default.svc.cluster.local lan"]);
      expect(await read(await named.run({ name: "other", mounts: [{ hostPath: own, containerPath: "/etc/resolv.conf", readOnly: false, propagation: "private" }] }))).toEqual(["nameserver 10.0.0.53"]);
      expect(await read(await (await pod()).run())).toEqual(expect.arrayContaining(machines));
    });

    onReal("a terminal has the size it is told", async () => {
      const { run } = await pod();
      const stdout = new Sink();
      const resize = (async function* () {
        yield { width: 99, height: 33 };
      })();
      const code = await under.runtime.streaming.exec(await run(), ["/bin/sh", "-c", SIZE_OF_99_BY_33], { stdout, tty: true, resize, signal: stop.signal });
      expect([code, stdout.text().trim()]).toEqual([0, "33 99"]);
    });

    onReal("port-forward reaches the pod's loopback, both ways", async () => {
      const { id, run } = await pod();
      const port = 10_000 + (process.pid % 20_000);
      await run({ command: ["httpd", "-f", "-p", `127.0.0.1:${port}`, "-h", "/etc"] });
      const ask = async (halfCloses: boolean): Promise<string> => {
        const stream = await under.runtime.streaming.portForward(id, port);
        const chunks: Buffer[] = [];
        stream.on("data", (chunk: Buffer) => chunks.push(chunk));
        stream.write("GET /passwd HTTP/1.0\r\n\r\n");
        if (halfCloses) stream.end();
        await new Promise<void>((resolve, reject) => stream.once("end", resolve).once("error", reject));
        stream.destroy();
        return Buffer.concat(chunks).toString();
      };
      await eventually("an answer", async () => (await ask(true)).includes("root:x:0:0"));
      // The pod's end is an end, whatever the client leaves open.
      expect(await ask(false)).toContain("root:x:0:0");
    });

    onReal("environment, working directory, user and mounts are as configured", async () => {
      const { run } = await pod();
      const hostPath = mkdtempSync(join(logs, "mount-"));
      const mounts = [{ containerPath: "/given", hostPath, readOnly: true, propagation: "private" as const }];
      const base = aContainer();
      const id = await run({ env: [{ name: "GREETING", value: "a=b c" }], workingDir: "/tmp", mounts, security: { ...base.security, runAsUser: 65534, runAsGroup: 65534, supplementalGroups: [4242] } });
      expect(await output(id, "/bin/sh", "-c", "echo $GREETING; pwd; id -u; id -g; id -G")).toBe("a=b c\n/tmp\n65534\n65534\n65534 4242");
      expect(await output(id, "/bin/sh", "-c", "touch /given/file || echo refused")).toContain("refused");
    });

    onReal("a program that does not exist leaves an exited container that says so", async () => {
      const { id, config } = await pod();
      const containerId = await under.runtime.pods.createContainer(id, aContainer({ image: under.image, command: ["/no/such/program"] }), config);
      const refused = await under.runtime.pods.startContainer(containerId).then(() => "", (error: unknown) => (error as Error).message);
      expect(refused).toContain("no such file or directory");
      const record = await exited(containerId);
      expect(record.exitCode).not.toBe(0);
      expect(record.message).toContain("no such file or directory");
    });

    onReal("the whole machine can be mounted, the runtime's own directory within", async () => {
      const { run } = await pod();
      const id = await run({ mounts: [{ containerPath: "/host", hostPath: "/", readOnly: false, propagation: "private" }] });
      expect(await output(id, "/bin/sh", "-c", "test -d /host/etc && echo there")).toBe("there");
    });

    onReal("capabilities, a read-only root and no-new-privileges hold", async () => {
      const { run } = await pod();
      const id = await run({ security: { ...aContainer().security, readOnlyRootFilesystem: true, noNewPrivileges: true, dropCapabilities: ["ALL"], addCapabilities: ["NET_BIND_SERVICE"] } });
      expect(await output(id, "grep", "CapEff", "/proc/self/status")).toEndWith("0000000000000400");
      expect(await output(id, "grep", "NoNewPrivs", "/proc/self/status")).toEndWith("1");
      expect(await output(id, "/bin/sh", "-c", "touch /file || echo refused")).toContain("refused");
    });

    onReal("a memory limit ends a container that wants more, as OOMKilled, and limits can be changed", async () => {
      const { run } = await pod();
      const limited = await run({ resources: { memoryLimitBytes: 32 << 20, cpuShares: 102 }, command: ["/bin/sh", "-c", "sleep 1000"] });
      await under.runtime.pods.updateResources(limited, { memoryLimitBytes: 64 << 20 });
      const greedy = await run({ name: "greedy", resources: { memoryLimitBytes: 16 << 20 }, command: ["/bin/sh", "-c", "tail /dev/zero"] });
      expect(await exited(greedy)).toMatchObject({ exitCode: 137 });
      // The kernel tells of the reason apart from the end.
      await eventually("the reason", async () => (await status(greedy)).reason === "OOMKilled");
    });

    onReal("after rotation the log goes on in a new file", async () => {
      const { run } = await pod();
      const id = await run({ command: ["/bin/sh", "-c", "echo before; while [ ! -e /go ]; do sleep 0.1; done; echo after; sleep 1000"] });
      const { logPath } = await status(id);
      await eventually("one line", () => logLines(logPath).length === 1);
      renameSync(logPath, `${logPath}.1`);
      await under.runtime.pods.reopenLog(id);
      await output(id, "touch", "/go");
      await eventually("one line", () => logLines(logPath).length === 1);
      expect([logLines(`${logPath}.1`), logLines(logPath)].map((lines) => lines.map(({ content }) => content.toString()))).toEqual([["before"], ["after"]]);
    });

    onReal("containers of a pod share what it says they share", async () => {
      const { run } = await pod({ namespaces: { network: "node", pid: "pod", ipc: "pod" } });
      const security = { ...aContainer().security, namespaces: { network: "node", pid: "pod", ipc: "pod" } as const };
      const [a, b] = [await run({ name: "a", security }), await run({ name: "b", security })];
      expect(await output(a, "stat", "-Lc", "%i", "/proc/self/ns/pid")).toBe(await output(b, "stat", "-Lc", "%i", "/proc/self/ns/pid"));
    });

    test("two containers of a pod, and two pods, live side by side", async () => {
      const [first, second] = await Promise.all([pod(), pod()]);
      const ids = [await first.run({ name: "a" }), await first.run({ name: "b" }), await second.run({ name: "a" })];
      const listed = (await under.runtime.pods.listContainers()).filter(({ id }) => ids.includes(id));
      expect(listed.map(({ name, sandboxId, state }) => [name, sandboxId, state]).sort()).toEqual([["a", first.id, "running"], ["a", second.id, "running"], ["b", first.id, "running"]].sort());
    });

    test("a removed container is gone", async () => {
      const { run } = await pod();
      const id = await run({ command: ["/bin/sh", "-c", "exit 0"] });
      await exited(id);
      await under.runtime.pods.removeContainer(id);
      expect(await under.runtime.pods.containerStatus(id)).toBeUndefined();
    });

    test("what a container has written over its image is measured when asked", async () => {
      const { run } = await pod();
      const id = await run();
      await eventually("a figure", async () => ((await under.runtime.pods.writableLayers([id])).get(id)?.bytes ?? -1) >= 0);
      if (under.runtime.name === "fake") return;
      await under.runtime.streaming.execSync(id, ["/bin/sh", "-c", "dd if=/dev/zero of=/written bs=1M count=3"], { timeoutMs: PATIENCE_MS, maxBytes: 1024 });
      await eventually("what was written", async () => ((await under.runtime.pods.writableLayers([id, "nobody"])).get(id)?.bytes ?? 0) >= 3 << 20);
    });

    test("running containers have stats", async () => {
      const { run } = await pod();
      const id = await run();
      await eventually("its stats", async () => (await under.runtime.pods.stats()).some((stats) => stats.id === id && stats.timestampMs > 0));
    });
  });
}

/** Removes what the common parent of `aSandbox`'s sandboxes leaves in each hierarchy. */
export function removeSuiteCgroups(): void {
  for (const parent of ["", ...directories("/sys/fs/cgroup")].map((name) => join("/sys/fs/cgroup", name, SUITE_CGROUP))) removeTree(parent);
}

/** Files of a cgroup go with it. */
function removeTree(path: string): void {
  if (!existsSync(path)) return;
  for (const name of directories(path)) removeTree(join(path, name));
  rmdirSync(path);
}

function directories(path: string): string[] {
  return readdirSync(path, { withFileTypes: true }).filter((entry) => entry.isDirectory()).map(({ name }) => name);
}

/** A sandbox without network of its own, so that no CNI is needed. */
export function aSandbox(overrides: Partial<SandboxConfig> = {}): SandboxConfig {
  return {
    name: "pod", namespace: "suite", uid: "uid", attempt: 0, hostname: "pod", logDirectory: "/tmp", dns: { servers: [], searches: [], options: [] },
    portMappings: [], labels: {}, annotations: {}, cgroupParent: `/${SUITE_CGROUP}`, sysctls: {},
    namespaces: { network: "node", pid: "container", ipc: "pod" }, privileged: false, runtimeHandler: "", ...overrides,
  };
}

/** A container that runs until stopped. */
export function aContainer(overrides: Partial<ContainerConfig> = {}): ContainerConfig {
  const name = overrides.name ?? "main";
  return {
    name, attempt: 0, image: "", command: ["/bin/sh", "-c", "sleep 1000"], args: [], workingDir: "", env: [], mounts: [], devices: [], labels: {}, annotations: {},
    logPath: `${name}/0.log`, stdin: false, stdinOnce: false, tty: false, resources: {},
    security: { privileged: false, readOnlyRootFilesystem: false, noNewPrivileges: false, addCapabilities: [], dropCapabilities: [], supplementalGroups: [], namespaces: { network: "node", pid: "container", ipc: "pod" } },
    ...overrides,
  };
}

/** Collects what is written. */
export class Sink extends Writable {
  readonly #chunks: Buffer[] = [];

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.#chunks.push(Buffer.from(chunk));
    done();
  }

  text(): string {
    return Buffer.concat(this.#chunks).toString();
  }
}

function logLines(path: string): NonNullable<ReturnType<typeof parseLogEntry>>[] {
  return readFileSync(path, "latin1").split("\n").filter(Boolean).map((line) => parseLogEntry(Buffer.from(line, "latin1"))!);
}
