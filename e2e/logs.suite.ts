// Logs as kubectl shows them: followed across rotation, of the instance before, by stream, and cut by every option.
// The cluster is the caller's, and so is the runtime.
import { describe, expect, test } from "bun:test";
import { eventually, type Kubectl } from "./support.ts";

const ROUNDS = 3;
const LINES = 60_000;
const PADDING = "x".repeat(200);

/** What holds of logs on every runtime. */
export function describeLogs(runtime: string, kubectl: Kubectl): void {
  describe(`logs on ${runtime}`, () => {
    test("following goes on across rotation without losing, repeating or swapping a line", async () => {
      // More than a file may hold each time, with the pause the node needs to see that.
      await kubectl.apply(pod("rotates", `for r in ${Array.from({ length: ROUNDS }, (_, i) => i).join(" ")}; do seq $((r * ${LINES} + 1)) $(((r + 1) * ${LINES})) | sed "s/$/ ${PADDING}/"; sleep 14; done; echo the end; sleep 100000`));
      await kubectl.run("wait", "--for=condition=Ready", "pod/rotates", "--timeout=60s");
      const numbers = await followedUntil(kubectl, "rotates", "the end");
      expect(numbers.length).toBe(ROUNDS * LINES);
      expect(numbers.findIndex((number, index) => number !== index + 1)).toBe(-1);
      expect((await kubectl.run("logs", "rotates", "--tail=1")).trim()).toBe("the end");
      await kubectl.run("delete", "pod", "rotates");
    }, 180_000);

    test("the instance before, tails, bytes, times and streams each show their part", async () => {
      await kubectl.apply(pod("speaks", `test -e /kept/once && { echo second; echo more; echo wrong >&2; sleep 100000; }; touch /kept/once; echo first; exit 3`));
      await eventually("the second instance speaks", async () => (await kubectl.run("logs", "speaks")).includes("more"));
      expect((await kubectl.run("logs", "speaks", "--previous")).trim()).toBe("first");
      expect((await kubectl.run("logs", "speaks", "--tail=0")).trim()).toBe("");
      expect(await kubectl.run("logs", "speaks", "--limit-bytes=3")).toHaveLength(3);
      expect((await kubectl.run("logs", "speaks", "--since-time=2999-01-01T00:00:00Z")).trim()).toBe("");
      expect(await kubectl.run("logs", "speaks", "--timestamps", "--since=1h")).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d) /m);
      const stream = (name: string): Promise<string> => kubectl.run("get", "--raw", `/api/v1/namespaces/default/pods/speaks/log?stream=${name}`);
      // The two streams reach the log side by side, in no order.
      await eventually("the standard output is there", async () => (await stream("Stdout")) === "second\nmore\n");
      await eventually("the error output is there", async () => (await stream("Stderr")) === "wrong\n");
      expect((await kubectl.attempt("get", "--raw", "/api/v1/namespaces/default/pods/speaks/log?stream=Stdout&tailLines=1")).stderr).toContain("mutually exclusive");
      await kubectl.run("delete", "pod", "speaks");
    }, 120_000);
  });
}

/** The first word of every line as a number, until one line is the last. */
async function followedUntil(kubectl: Kubectl, name: string, last: string): Promise<number[]> {
  const child = Bun.spawn([...kubectl.command, "logs", "--follow", name], { stdout: "pipe", stderr: "inherit" });
  const numbers: number[] = [];
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of child.stdout) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      if (line !== last) {
        numbers.push(Number.parseInt(line, 10));
        continue;
      }
      child.kill("SIGKILL");
      return numbers;
    }
  }
  return numbers;
}

function pod(name: string, script: string): string {
  return JSON.stringify({
    apiVersion: "v1", kind: "Pod", metadata: { name },
    spec: { terminationGracePeriodSeconds: 0, containers: [{ name: "app", image: "minik8s/hello:1", command: ["sh", "-c", script], volumeMounts: [{ name: "kept", mountPath: "/kept" }] }], volumes: [{ name: "kept", emptyDir: {} }] },
  });
}
