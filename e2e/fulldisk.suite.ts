// Disks that fill: the node's, where whoever fills it must go, and the control plane's, where writes are refused and reads go on.
// Each runtime's test file says which runtime it is.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, rmSync, statfsSync } from "node:fs";
import { join } from "node:path";
import { eventually, Kubectl, must, sampleImage } from "./support.ts";

const LAB = join(import.meta.dir, "..", "scripts", "lab");

/** A lab of one node, whose data and whose control plane's lie on small file systems in memory. */
export function describeFullDisk(runtime: "containerd" | "docker"): void {
  const name = `full-${runtime}`;
  const directory = `/var/lib/minik8s-lab-${name}`;
  const [node, control] = [join(directory, "node-1"), join(directory, "control")];
  const kubectl = new Kubectl(join(directory, "admin.conf"));
  const lab = (...args: string[]): Promise<string> => must([LAB, ...args], { env: { MINIK8S_LAB: name }, timeoutMs: 240_000 });
  const freeShare = (path: string): number => statfsSync(path).bavail / statfsSync(path).blocks;

  beforeAll(async () => {
    for (const [path, size] of [[node, "400m"], [control, "64m"]] as const) {
      mkdirSync(path, { recursive: true });
      await must(["mount", "-t", "tmpfs", "-o", `size=${size}`, "tmpfs", path]);
    }
    await lab("up", "1", "--runtime", runtime);
    await lab("load", await sampleImage());
  }, 300_000);

  afterAll(async () => {
    await lab("down");
    rmSync(directory, { recursive: true, force: true });
  }, 240_000);

  describe(`full disks, ${runtime}`, () => {
    test("the pod that fills the node's disk is evicted and the others stay; the node says so, stays Ready, and has its space back", async () => {
      await kubectl.apply(pod("innocent", "sleep 100000"));
      await kubectl.apply(pod("fills", "while true; do dd if=/dev/zero of=/data/file bs=1M; sleep 1; done"));
      await eventually("the pod that fills the disk is evicted", async () => (await kubectl.value("{.status.reason}", "pod", "fills")) === "Evicted", 90_000);
      expect(await kubectl.value(`{.status.conditions[?(@.type=="DiskPressure")].status} {.status.conditions[?(@.type=="Ready")].status}`, "node", "node-1")).toBe("True True");
      await eventually("the event tells what ran out", async () => (await kubectl.run("get", "events", "--field-selector", "reason=Evicted")).includes("The node was low on resource: ephemeral-storage"));
      await eventually("its space is free again", async () => freeShare(node) > 0.5);
      expect(await kubectl.value("{.status.phase}", "pod", "innocent")).toBe("Running");
    }, 180_000);

    test("on a full disk the control plane refuses writes in words and answers reads, and goes on once there is room", async () => {
      const filler = join(control, "filler");
      await Bun.spawn(["dd", "if=/dev/zero", `of=${filler}`, "bs=1M"], { stderr: "ignore" }).exited;
      const large = `--from-literal=large=${"x".repeat(100_000)}`;
      const refused = await eventually("a write is refused", async () => {
        const answer = await kubectl.attempt("create", "configmap", `full-${Math.random().toString(36).slice(2, 8)}`, large);
        return answer.exitCode === 0 ? undefined : answer;
      });
      expect(refused.stderr).toContain("No space left on device");
      expect(await kubectl.run("get", "nodes")).toContain("node-1");
      rmSync(filler);
      await eventually("writes are taken again", async () => (await kubectl.attempt("create", "configmap", "room", large)).exitCode === 0);
      expect(await kubectl.value("{.metadata.name}", "configmap", "room")).toBe("room");
    }, 180_000);
  });
}

function pod(name: string, script: string): string {
  return JSON.stringify({
    apiVersion: "v1", kind: "Pod", metadata: { name },
    spec: { terminationGracePeriodSeconds: 1, containers: [{ name: "app", image: "minik8s/hello:1", command: ["sh", "-c", script], volumeMounts: [{ name: "data", mountPath: "/data" }] }], volumes: [{ name: "data", emptyDir: {} }] },
  });
}
