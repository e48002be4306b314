// The executable: argv to a command, and nothing else. Called under a CNI plugin's name it is that plugin.
import { readFileSync } from "node:fs";
import { basename } from "node:path";

const PLUGINS = new Set(["bridge", "host-local", "loopback", "portmap"]);

const exitCode = await main();
// A mode that failed while starting may hold sockets and timers: leave once what was written is out.
process.stdout.write("", () => process.exit(exitCode));

async function main(): Promise<number> {
  const plugin = calledAs();
  // The network plugin path loads nothing of the rest: every pod pays for its start.
  if (PLUGINS.has(plugin)) return (await import("./cni.ts")).runPlugin(plugin);
  // The certificate library's metadata store must be in place before any module that loads that library.
  await import("reflect-metadata");
  return (await import("./dispatch.ts")).dispatch(process.argv.slice(2));
}

/** The name this process was started under; the runtime itself only tells the resolved path. A wrapper run from source says it by environment. */
function calledAs(): string {
  if (process.env["MINIK8S_CNI_PLUGIN"] !== undefined) return process.env["MINIK8S_CNI_PLUGIN"];
  try {
    return basename(readFileSync("/proc/self/cmdline", "utf8").split("\0")[0] ?? "");
  } catch {
    return "";
  }
}
