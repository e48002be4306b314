// Network namespaces to try things in: real links, real packets, nothing of the machine touched.
// For tests only.
import { hostExec, run, type Exec } from "../../lib/exec.ts";
import { PATIENCE_MS } from "../../lib/testing.ts";

/** A network namespace that lives until `dispose`. */
export interface TestNamespace extends AsyncDisposable {
  readonly name: string;
  readonly path: string;
  /** Runs commands inside. */
  readonly exec: Exec;
  /** Starts a command inside that is killed with the namespace. */
  spawn(command: readonly string[]): void;
}

let counter = 0;

/** Makes a namespace with `lo` up; its name begins with `m8net-`. */
export async function makeNamespace(label: string): Promise<TestNamespace> {
  const name = `m8net-${process.pid}-${counter++}-${label}`;
  const path = `/run/netns/${name}`;
  const children: Bun.Subprocess[] = [];
  await run(hostExec, ["ip", "netns", "add", name]);
  const exec: Exec = (command, options) => hostExec(["nsenter", `--net=${path}`, ...command], options);
  await run(exec, ["ip", "link", "set", "dev", "lo", "up"]);
  return {
    name, path, exec,
    spawn(command) {
      children.push(Bun.spawn(["nsenter", `--net=${path}`, ...command], { stdin: "ignore", stdout: "ignore", stderr: "ignore" }));
    },
    async [Symbol.asyncDispose]() {
      for (const child of children) child.kill("SIGKILL");
      await hostExec(["ip", "netns", "delete", name]);
    },
  };
}

/** Serves one line of text per TCP connection, for ever. */
export function serveTcp(namespace: TestNamespace, port: number, answer: string): void {
  namespace.spawn(["socat", `TCP-LISTEN:${port},fork,reuseaddr`, `SYSTEM:echo ${answer}`]);
}

/** Echoes one line of text per UDP datagram, for ever. */
export function serveUdp(namespace: TestNamespace, port: number, answer: string): void {
  namespace.spawn(["socat", `UDP-RECVFROM:${port},fork,reuseaddr`, `SYSTEM:echo ${answer}`]);
}

/** What a TCP server answers, or the reason it did not; waits for servers that are just starting. */
export async function askTcp(from: TestNamespace, address: string, port: number, source?: string): Promise<string> {
  // Only listens: a server that is done before it has read would reset the connection, its answer with it.
  return ask(from, ["-u", `TCP:${address}:${port},connect-timeout=2${source === undefined ? "" : `,bind=${source}`}`, "-"]);
}

/** What a UDP server answers, to a client that always sends from the same port when one is given. */
export async function askUdp(from: TestNamespace, address: string, port: number, sourcePort?: number): Promise<string> {
  // Ends by silence only, so silence has to be short.
  return ask(from, ["-T0.5", "-", `UDP:${address}:${port}${sourcePort === undefined ? "" : `,sourceport=${sourcePort}`}`]);
}

/** One connection attempt, for servers that are expected not to answer: `refused`, `no answer`, or what came. */
export async function tryTcp(from: TestNamespace, address: string, port: number): Promise<string> {
  return once(from, ["-u", `TCP:${address}:${port},connect-timeout=1`, "-"]);
}

async function ask(from: TestNamespace, target: readonly string[]): Promise<string> {
  const until = Date.now() + PATIENCE_MS;
  for (;;) {
    const answer = await once(from, target);
    if ((answer !== "refused" && answer !== "no answer") || Date.now() > until) return answer;
    await Bun.sleep(50);
  }
}

async function once(from: TestNamespace, target: readonly string[]): Promise<string> {
  const result = await from.exec(["socat", "-T10", ...target], { stdin: "hello\n", timeoutMs: 20_000 });
  if (result.exitCode === 0 && result.stdout) return result.stdout.trim();
  return /refused/.test(result.stderr) ? "refused" : "no answer";
}
