// How fast a log is followed end to end, from a container that writes as fast as it may to kubectl's output.
import { memoryMB } from "./process.ts";

const WARM_MS = 2_000;
const MEASURE_MS = 10_000;
const POD = "writes";

/** Follows for ten seconds; memory is the agent's at its highest less what it was before. */
export async function followLog({ kubectl, image, nodeName, agentPid }: { readonly kubectl: readonly string[]; readonly image: string; readonly nodeName: string; readonly agentPid: number }): Promise<{ megabytesPerSecond: number; grownMB: number }> {
  const line = "x".repeat(4000);
  const overrides = { spec: { nodeName, terminationGracePeriodSeconds: 0 } };
  await run([...kubectl, "run", POD, `--image=${image}`, "--restart=Never", `--overrides=${JSON.stringify(overrides)}`, "--command", "--", "sh", "-c", `while :; do echo ${line}; done`]);
  await run([...kubectl, "wait", "--for=condition=Ready", `pod/${POD}`, "--timeout=60s"]);
  const before = memoryMB(agentPid);
  const child = Bun.spawn([...kubectl, "logs", "--follow", POD], { stdout: "pipe", stderr: "ignore" });
  let bytes = 0;
  let peak = before;
  const watcher = setInterval(() => void (peak = Math.max(peak, memoryMB(agentPid))), 200);
  const reading = (async () => {
    for await (const chunk of child.stdout) bytes += chunk.length;
  })();
  await Bun.sleep(WARM_MS);
  const [begin, already] = [performance.now(), bytes];
  await Bun.sleep(MEASURE_MS);
  const megabytesPerSecond = (bytes - already) / 1e6 / ((performance.now() - begin) / 1000);
  clearInterval(watcher);
  child.kill("SIGKILL");
  await reading;
  await run([...kubectl, "delete", "pod", POD, "--grace-period=0", "--force"]);
  return { megabytesPerSecond, grownMB: peak - before };
}

async function run(command: readonly string[]): Promise<void> {
  const child = Bun.spawn([...command], { stdout: "ignore", stderr: "ignore" });
  if ((await child.exited) !== 0) throw new Error(`${command.join(" ")} exited ${child.exitCode}`);
}
