// How fast a log is followed end to end, to kubectl's output: one that is there already, across rotation, and one that is being written.
// The second shares the machine with its container and the runtime, which take more of it than everything behind them.
import { memoryMB } from "./process.ts";

const LINE = "x".repeat(4000);
const LINES = 75_000;
const WARM_MS = 2_000;
const MEASURE_MS = 10_000;
/** Until kubectl has connected and been stopped. */
const CONNECT_SECONDS = 4;
const WRITE_SECONDS = 120;

export interface Followed {
  readonly kubectl: readonly string[];
  readonly image: string;
  readonly nodeName: string;
  readonly agentPid: number;
}

/** Follows 300 MB that were written while kubectl stood still; memory is the agent's at its highest meanwhile less what it was before. */
export async function followWritten(options: Followed): Promise<{ megabytesPerSecond: number; grownMB: number }> {
  await start(options, `echo begin; sleep ${CONNECT_SECONDS}; n=0; while [ $n -lt ${LINES} ]; do echo ${LINE}; n=$((n+1)); done; echo > /done; sleep 100000`);
  const follower = new Follower(options);
  await follower.until(1);
  follower.signal("SIGSTOP");
  for (let seconds = 0; !(await succeeds([...options.kubectl, "exec", POD, "--", "sh", "-c", "test -e /done"])); seconds++) {
    if (seconds === WRITE_SECONDS) throw new Error(`a container did not write its log in ${WRITE_SECONDS} s`);
    await Bun.sleep(1000);
  }
  const memory = new Peak(options.agentPid);
  const [begin, already] = [performance.now(), follower.bytes];
  follower.signal("SIGCONT");
  await follower.until(LINES * (LINE.length + 1));
  const megabytesPerSecond = (follower.bytes - already) / 1e6 / ((performance.now() - begin) / 1000);
  const grownMB = memory.stop();
  await end(options, follower);
  return { megabytesPerSecond, grownMB };
}

/** Follows a container that writes as fast as it may. */
export async function followWriting(options: Followed): Promise<{ megabytesPerSecond: number; grownMB: number }> {
  const memory = new Peak(options.agentPid);
  await start(options, `while :; do echo ${LINE}; done`);
  const follower = new Follower(options);
  await Bun.sleep(WARM_MS);
  const [begin, already] = [performance.now(), follower.bytes];
  await Bun.sleep(MEASURE_MS);
  const megabytesPerSecond = (follower.bytes - already) / 1e6 / ((performance.now() - begin) / 1000);
  const grownMB = memory.stop();
  await end(options, follower);
  return { megabytesPerSecond, grownMB };
}

const POD = "writes";

async function start({ kubectl, image, nodeName }: Followed, script: string): Promise<void> {
  const overrides = { spec: { nodeName, terminationGracePeriodSeconds: 0 } };
  await run([...kubectl, "run", POD, `--image=${image}`, "--restart=Never", `--overrides=${JSON.stringify(overrides)}`, "--command", "--", "sh", "-c", script]);
  await run([...kubectl, "wait", "--for=condition=Ready", `pod/${POD}`, "--timeout=60s"]);
}

async function end({ kubectl }: Followed, follower: Follower): Promise<void> {
  follower.signal("SIGKILL");
  await follower.done;
  await run([...kubectl, "delete", "pod", POD, "--grace-period=0", "--force"]);
}

/** kubectl following the log, and how much of it has come. */
class Follower {
  bytes = 0;
  readonly done: Promise<void>;
  readonly #child: Bun.Subprocess<"ignore", "pipe", "ignore">;

  constructor({ kubectl }: Followed) {
    this.#child = Bun.spawn([...kubectl, "logs", "--follow", POD], { stdin: "ignore", stdout: "pipe", stderr: "ignore" });
    this.done = this.#read();
  }

  async until(wanted: number): Promise<void> {
    while (this.bytes < wanted && this.#child.exitCode === null) await Bun.sleep(5);
    if (this.bytes < wanted) throw new Error(`kubectl logs ended after ${this.bytes} bytes of ${wanted}`);
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  async #read(): Promise<void> {
    for await (const chunk of this.#child.stdout) this.bytes += chunk.length;
  }
}

/** The most memory a process has from now on, in MB more than now. */
class Peak {
  readonly #before: number;
  readonly #timer: ReturnType<typeof setInterval>;
  #peak: number;

  constructor(readonly pid: number) {
    this.#before = this.#peak = memoryMB(pid);
    this.#timer = setInterval(() => void (this.#peak = Math.max(this.#peak, memoryMB(pid))), 100);
  }

  stop(): number {
    clearInterval(this.#timer);
    return this.#peak - this.#before;
  }
}

async function run(command: readonly string[]): Promise<void> {
  if (!(await succeeds(command))) throw new Error(`${command.join(" ")} failed`);
}

async function succeeds(command: readonly string[]): Promise<boolean> {
  return (await Bun.spawn([...command], { stdout: "ignore", stderr: "ignore" }).exited) === 0;
}
