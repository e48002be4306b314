// Debugging in all its forms, and exec's exit codes: how people look into pods and nodes.
// The cluster is the caller's, and so is the runtime.
import { describe, expect, test } from "bun:test";
import { eventually, type Kubectl } from "./support.ts";

const IMAGE = "minik8s/hello:1";

/** What holds of looking into pods on every runtime. */
export function describeDebug(runtime: string, kubectl: Kubectl): void {
  describe(`debugging on ${runtime}`, () => {
    test("an ephemeral container sees its target's processes, and is told in the status", async () => {
      await kubectl.apply(LOOKED);
      await kubectl.run("wait", "--for=condition=Ready", "pod/looked", "--timeout=60s");
      const container = { name: "debugger", image: IMAGE, targetContainerName: "app", command: ["sh", "-c", "ps; sleep 1000"] };
      await kubectl.patch("/api/v1/namespaces/default/pods/looked/ephemeralcontainers", { spec: { ephemeralContainers: [container] } });
      await eventually("it sees them", async () => (await kubectl.run("logs", "looked", "-c", "debugger")).includes("sleep 77"));
      expect(await kubectl.value("{.status.ephemeralContainerStatuses[0].state.running.startedAt}", "pod", "looked")).not.toBe("");
      expect(await kubectl.value("{.status.conditions[?(@.type==\"Ready\")].status}", "pod", "looked")).toBe("True");
    }, 120_000);

    test("a copy runs beside the pod, with another container and shared processes", async () => {
      await kubectl.run("debug", "looked", "--copy-to=copied", "--share-processes", `--image=${IMAGE}`, "-c", "debugger", "--", "sh", "-c", "sleep 1; ps; sleep 1000");
      await kubectl.run("wait", "--for=condition=Ready", "pod/copied", "--timeout=60s");
      await eventually("it sees the app", async () => (await kubectl.run("logs", "copied", "-c", "debugger")).includes("sleep 77"));
    }, 120_000);

    test("a node is looked into through its own root", async () => {
      await kubectl.run("debug", "node/node-1", `--image=${IMAGE}`, "--", "sh", "-c", "test -d /host/etc && echo its root");
      const name = await eventually("its pod is made", async () => /pod\/node-debugger\S+/.exec(await kubectl.run("get", "pods", "--output", "name"))?.[0]);
      await eventually("it sees the root", async () => (await kubectl.run("logs", name)).includes("its root"));
      await kubectl.run("delete", name, "pod/copied", "--timeout=60s");
    }, 120_000);

    test("exec gives the command's own code, also when a signal ends it", async () => {
      const codeOf = async (...command: string[]): Promise<number> => (await kubectl.attempt("exec", "looked", "-c", "app", "--", ...command)).exitCode;
      expect(await codeOf("sh", "-c", "exit 7")).toBe(7);
      expect(await codeOf("sh", "-c", "kill -9 $$")).toBe(137);
      expect((await kubectl.attempt("exec", "looked", "-c", "nobody", "--", "true")).stderr).toContain("container nobody is not valid for pod looked");
      await kubectl.run("delete", "pod", "looked", "--timeout=60s");
    }, 60_000);
  });
}

const LOOKED = `
apiVersion: v1
kind: Pod
metadata: { name: looked }
spec:
  terminationGracePeriodSeconds: 1
  containers: [{ name: app, image: "${IMAGE}", command: [sh, -c, "trap 'exit 0' TERM; while true; do sleep 77; done"] }]
`;
