// systemd units for the two modes: written, enabled and started, or taken away again.
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { ExecError, hostExec, run } from "../lib/exec.ts";
import { writeFileAtomic } from "../lib/files.ts";
import type { Invocation } from "./commands.ts";
import { UsageError } from "./flags.ts";

/** Types that may be named; what follows them is passed to the mode as its flags. */
const MODES = ["control", "agent"];

export async function runInstallService({ values, positionals }: Invocation): Promise<number> {
  const [mode, ...flags] = positionals;
  if (!mode || !MODES.includes(mode)) throw new UsageError(`install-service ${mode ?? ""}: name what to install: control or agent`);
  const unit = `minik8s-${mode}.service`;
  const path = join(values["unit-dir"] as string, unit);
  if (values["remove"]) return remove(unit, path);
  // Units are read by whoever likes, and a join token may be among the flags.
  writeFileAtomic(path, unitText(mode, process.execPath, flags), flags.some((flag) => flag.startsWith("--token")) ? 0o600 : 0o644);
  process.stdout.write(`wrote ${path}\n`);
  if (!hasSystemd()) {
    process.stdout.write("systemd is not running here; start the unit where it is: systemctl enable --now " + unit + "\n");
    return 0;
  }
  await systemctl(["daemon-reload"]);
  await systemctl(["enable", "--now", unit]);
  process.stdout.write(`started ${unit}; follow it with: journalctl -fu ${unit}\n`);
  return 0;
}

/** The unit of one mode; restarting it never touches containers, which outlive the agent. */
export function unitText(mode: string, executable: string, flags: readonly string[]): string {
  const command = [executable, mode, ...(mode === "control" && !flags.some((flag) => /^--(init|join)\b/.test(flag)) ? ["--init"] : []), ...flags].map(quote).join(" ");
  return `[Unit]
Description=minik8s ${mode === "control" ? "control plane" : "node"}
Documentation=man:minik8s
After=network-online.target
Wants=network-online.target

[Service]
Type=exec
ExecStart=${command}
Restart=always
RestartSec=2
RestartPreventExitStatus=2
KillMode=process
Delegate=yes
LimitNOFILE=1048576
TasksMax=infinity
OOMScoreAdjust=-999

[Install]
WantedBy=multi-user.target
`;
}

async function remove(unit: string, path: string): Promise<number> {
  if (hasSystemd() && existsSync(path)) await systemctl(["disable", "--now", unit]);
  rmSync(path, { force: true });
  if (hasSystemd()) await systemctl(["daemon-reload"]);
  process.stdout.write(`removed ${path}\n`);
  return 0;
}

async function systemctl(args: readonly string[]): Promise<void> {
  try {
    await run(hostExec, ["systemctl", ...args]);
  } catch (error) {
    throw new Error(`systemctl ${args.join(" ")} failed: ${error instanceof ExecError ? error.result.stderr.trim() : String(error)}`, { cause: error });
  }
}

function hasSystemd(): boolean {
  return existsSync("/run/systemd/system");
}

function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `"${word.replaceAll(/["\\]/g, String.raw`\$&`)}"`;
}
