// A whole cluster on this machine, driven with the real kubectl: what every user does, and kill -9 under load.
// Each runtime's test file says how the runtime is started.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { describeClients } from "./clients.suite.ts";
import { application, BINARY, eventually, Kubectl, kubectls, must, sampleImage } from "./support.ts";

/** Where the suite's cluster runs its containers. */
export interface ClusterUnderTest {
  readonly runtime: "containerd" | "docker";
  /** Starts what the runtime needs and returns its endpoint; undefined for the private one. */
  readonly startRuntime?: () => Promise<string>;
  readonly stopRuntime?: () => Promise<void>;
}

/** A cluster on this machine, as its users meet it with kubectl. */
export function describeCluster({ runtime, startRuntime, stopRuntime }: ClusterUnderTest): void {
  const dataDir = mkdtempSync("/tmp/minik8s-e2e-");
  const kubeconfig = join(dataDir, "admin.conf");
  const runtimeFlags = ["--runtime", runtime];
  const admin = new Kubectl(kubeconfig);

  beforeAll(async () => {
    const endpoint = await startRuntime?.();
    if (endpoint) runtimeFlags.push("--runtime-endpoint", endpoint);
    await must([BINARY, "up", "--detach", "--data-dir", dataDir, ...runtimeFlags]);
    await must([BINARY, "image", "load", await sampleImage(), "--data-dir", join(dataDir, "agent"), ...runtimeFlags]);
  }, 180_000);

  afterAll(async () => {
    try {
      await must([BINARY, "down", "--purge", "--data-dir", dataDir]);
    } finally {
      await stopRuntime?.();
      rmSync(dataDir, { recursive: true, force: true });
    }
  }, 180_000);

  const clusterIp = (name: string): Promise<string> => admin.value("{.spec.clusterIP}", "service", name);
  const answer = (address: string): Promise<string> => must(["curl", "--silent", "--fail", "--max-time", "3", `http://${address}/`]);
  const podOf = (name: string): Promise<string> => admin.value("{.items[0].metadata.name}", "pods", "-l", `app=${name}`, "--field-selector", "status.phase=Running");

  describe.each(kubectls())("$name", ({ program }) => {
    const kubectl = new Kubectl(kubeconfig, program);
    const name = program === "kubectl" ? "web" : "web-old";

    test("a Deployment of three answers through its Service, from the node and by name from a pod", async () => {
      await kubectl.apply(application(name, 3));
      await kubectl.run("rollout", "status", `deployment/${name}`, "--timeout=60s");
      const address = await clusterIp(name);
      const answers = new Set<string>();
      await eventually("every replica answers", async () => answers.add(await answer(address)).size === 3);
      const fromPod = await kubectl.run("exec", await podOf(name), "--", "sh", "-c", `echo -e 'GET / HTTP/1.0\\r\\n\\r\\n' | nc ${name}.default.svc.cluster.local 80`);
      expect(fromPod).toContain(`hello from ${name}-`);
    }, 120_000);

    test("exec passes input, output and the exit code; logs come back; files are copied both ways", async () => {
      const pod = await podOf(name);
      expect((await kubectl.run("exec", pod, "--", "hostname")).trim()).toBe(pod);
      expect((await kubectl.attempt("exec", pod, "--", "sh", "-c", "echo out; echo err >&2; exit 7")).exitCode).not.toBe(0);
      await must(["sh", "-c", `echo from-the-host > ${dataDir}/note`]);
      await kubectl.run("cp", `${dataDir}/note`, `${pod}:/note`);
      expect(await kubectl.run("exec", pod, "--", "cat", "/note")).toBe("from-the-host\n");
      await kubectl.run("exec", pod, "--", "sh", "-c", "echo to-the-log > /proc/1/fd/1");
      await eventually("the line is in the log", async () => (await kubectl.run("logs", pod, "--tail=5", "--timestamps")).includes("to-the-log"));
    }, 120_000);

    test("port-forward carries requests", async () => {
      const forward = Bun.spawn([program, "--kubeconfig", kubeconfig, "port-forward", await podOf(name), "18099:8080"], { stdout: "ignore", stderr: "inherit" });
      try {
        expect(await eventually("the forwarded port answers", () => answer("127.0.0.1:18099"))).toContain(`hello from ${name}-`);
      } finally {
        forward.kill();
        await forward.exited;
      }
    }, 120_000);

    test("scaling, a rolling update, its history and undoing it", async () => {
      await kubectl.run("scale", `deployment/${name}`, "--replicas=4");
      await kubectl.run("rollout", "status", `deployment/${name}`, "--timeout=60s");
      await kubectl.run("set", "env", `deployment/${name}`, "VERSION=2");
      await kubectl.run("rollout", "status", `deployment/${name}`, "--timeout=60s");
      expect(await kubectl.run("rollout", "history", `deployment/${name}`)).toContain("2");
      await kubectl.run("set", "image", `deployment/${name}`, "web=minik8s/absent:1");
      await eventually("the bad image is told", async () => /ErrImage|ImagePullBackOff/.test(await kubectl.run("get", "pods", "-l", `app=${name}`)));
      expect(await answer(await clusterIp(name))).toContain("hello from");
      await kubectl.run("rollout", "undo", `deployment/${name}`);
      await kubectl.run("rollout", "status", `deployment/${name}`, "--timeout=60s");
      expect(await admin.value("{.spec.template.spec.containers[0].image}", "deployment", name)).toBe("minik8s/hello:1");
    }, 120_000);

    test("describe, explain, api-resources, wide lists and wait show what they show on any cluster", async () => {
      expect(await kubectl.run("describe", "deployment", name)).toContain("ScalingReplicaSet");
      expect(await kubectl.run("explain", "deployment.spec.replicas")).toContain("replicas");
      expect(await kubectl.run("api-resources")).toContain("deployments");
      expect(await kubectl.run("get", "nodes,pods,services", "-A", "-o", "wide")).toContain(`${runtime}://`);
      await kubectl.run("wait", "--for=condition=Available", `deployment/${name}`, "--timeout=30s");
    }, 120_000);

    test("deleting a Deployment takes its pods with it", async () => {
      await kubectl.run("delete", "deployment,service", name);
      await eventually("its pods are gone", async () => (await admin.run("get", "pods", "-l", `app=${name}`, "-o", "name")) === "");
    }, 120_000);
  });

  describeClients(kubeconfig);

  test("server-side apply records its manager, and diff shows what would change", async () => {
    const manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: applied }\ndata: { key: one }\n";
    await admin.apply(manifest, "--server-side", "--field-manager=e2e");
    expect(await admin.run("get", "--raw", "/api/v1/namespaces/default/configmaps/applied")).toContain('"manager":"e2e"');
    const diff = await must(["sh", "-c", `printf '${manifest.replaceAll("\n", "\\n").replace("one", "two")}' | kubectl --kubeconfig ${kubeconfig} diff -f -; [ $? -eq 1 ]`]);
    expect(diff).toContain("+  key: two");
  }, 120_000);

  test("draining cordons the node and uncordon takes it back", async () => {
    const node = await admin.value("{.items[0].metadata.name}", "nodes");
    await admin.run("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=60s");
    expect(await admin.value("{.spec.unschedulable}", "node", node)).toBe("true");
    await admin.run("uncordon", node);
    expect(await admin.value("{.spec.unschedulable}", "node", node)).toBe("");
  }, 120_000);

  test("a user without a credential, and one with a wrong token, are turned away", async () => {
    const server = await admin.run("config", "view", "-o", "jsonpath={.clusters[0].cluster.server}");
    const status = (...args: string[]): Promise<string> => must(["curl", "--silent", "--insecure", "--output", "/dev/null", "--write-out", "%{http_code}", ...args, `${server}/api/v1/namespaces/default/secrets`]);
    expect(await status()).toBe("403");
    expect(await status("-H", "Authorization: Bearer nonsense")).toBe("401");
  });

  test("kill -9 of control plane and node, ten times under load, loses no acknowledged object and restarts no container", async () => {
    await admin.apply(application("steady", 2));
    await admin.run("rollout", "status", "deployment/steady", "--timeout=60s");
    const identities = (): Promise<string> => admin.value("{range .items[*]}{.metadata.name} {.status.containerStatuses[0].containerID} {.status.containerStatuses[0].restartCount}{\"\\n\"}{end}", "pods", "-l", "app=steady");
    const before = await identities();
    const acknowledged: string[] = [];
    let isWriting = true;
    const writer = (async () => {
      // Ended from outside, once the last kill is done.
      // oxlint-disable-next-line no-unmodified-loop-condition
      for (let i = 0; isWriting; i++) if ((await admin.attempt("create", "configmap", `kept-${i}`, `--from-literal=i=${i}`)).exitCode === 0) acknowledged.push(`configmap/kept-${i}`);
    })();
    for (let round = 0; round < 10; round++) {
      for (const [mode, directory] of [["control", dataDir], ["agent", join(dataDir, "agent")]] as const) {
        if (round % 2 === 0 || mode === "control") await must(["sh", "-c", `kill -9 $(cat ${directory}/run/${mode}.pid)`]);
      }
      await must([BINARY, "up", "--detach", "--data-dir", dataDir, ...runtimeFlags]);
    }
    isWriting = false;
    await writer;
    const there = new Set((await admin.run("get", "configmaps", "-o", "name")).split("\n"));
    expect(acknowledged.length).toBeGreaterThan(0);
    expect(acknowledged.filter((name) => !there.has(name))).toEqual([]);
    expect(await identities()).toBe(before);
    expect(await eventually("the Service still answers", async () => answer(await clusterIp("steady")))).toContain("hello from steady-");
  }, 300_000);
}
