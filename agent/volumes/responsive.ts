// Whether the server behind a path still answers, asked before anything else touches the path.
// The kernel makes whoever looks at a mount wait for its server; a process of its own waits instead of the agent.
import { systemClock } from "../../lib/clock.ts";
import { isRemote, mountTable } from "./mounttable.ts";

const ANSWER_MS = 10_000;

/** Rejects when the path lies on a remote file system that does not answer within ten seconds; local ones are not asked. */
export async function requireAnswer(path: string, deadlineMs = ANSWER_MS): Promise<void> {
  const mount = mountOf(path, await mountTable());
  if (!mount || !isRemote(mount.type)) return;
  // It looks at the directory itself too, which a file system's answer about its size does not prove.
  const child = Bun.spawn(["ls", "-d", "--", `${path}/.`], { stdin: "ignore", stdout: "ignore", stderr: "ignore" });
  if (!(await endsWithin(child, deadlineMs))) throw new Error(`${mount.type} file system mounted on ${mount.point} does not answer`);
}

/** Waits for a process, but no longer than this; true when it ended. One the kernel does not let end is left to itself. */
export async function endsWithin(child: Bun.Subprocess, ms: number): Promise<boolean> {
  const timer = new AbortController();
  const hasEnded = await Promise.race([child.exited.then(() => true), systemClock.sleep(ms, timer.signal).then(() => false)]);
  timer.abort();
  if (!hasEnded) child.kill("SIGKILL");
  child.unref();
  return hasEnded;
}

/** The last mount on the longest point that holds the path; links on the way to it are not followed, for they may hang too. */
function mountOf(path: string, table: readonly { readonly point: string; readonly type: string }[]): { readonly point: string; readonly type: string } | undefined {
  const holding = table.filter(({ point }) => path === point || path.startsWith(point === "/" ? "/" : `${point}/`));
  return holding.reduce<(typeof table)[number] | undefined>((best, mount) => (best && best.point.length > mount.point.length ? best : mount), undefined);
}
