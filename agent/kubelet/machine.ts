// What the machine is and has, read from the kernel; the node's status is made of it.
import { readFileSync } from "node:fs";
import { readdir, statfs } from "node:fs/promises";
import { arch, availableParallelism, release } from "node:os";
import { join } from "node:path";

/** Facts that do not change while the machine runs. */
export interface MachineFacts {
  readonly cores: number;
  readonly memoryBytes: number;
  readonly swapBytes: number;
  readonly hugepages: Readonly<Record<string, number>>;
  readonly machineId: string;
  readonly systemUuid: string;
  readonly bootId: string;
  readonly kernelVersion: string;
  readonly osImage: string;
  /** As Go names it: `amd64`, `arm64`. */
  readonly architecture: string;
}

/** Room on the file system a path is on. */
export interface DiskFacts {
  readonly capacityBytes: number;
  readonly availableBytes: number;
  readonly inodes: number;
  readonly inodesFree: number;
}

/** Reads the facts; what cannot be read is empty. */
export async function readMachine(): Promise<MachineFacts> {
  const meminfo = text("/proc/meminfo");
  return {
    cores: availableParallelism(),
    memoryBytes: kibibytes(meminfo, "MemTotal"),
    swapBytes: kibibytes(meminfo, "SwapTotal"),
    hugepages: await hugepages(),
    machineId: text("/etc/machine-id"),
    systemUuid: text("/sys/class/dmi/id/product_uuid").toLowerCase() || text("/etc/machine-id"),
    bootId: text("/proc/sys/kernel/random/boot_id"),
    kernelVersion: release(),
    osImage: /^PRETTY_NAME="?([^"\n]*)"?$/m.exec(text("/etc/os-release"))?.[1] ?? "Linux",
    architecture: arch() === "x64" ? "amd64" : arch(),
  };
}

export async function readDisk(path: string): Promise<DiskFacts> {
  const fs = await statfs(path);
  return { capacityBytes: fs.blocks * fs.bsize, availableBytes: fs.bavail * fs.bsize, inodes: fs.files, inodesFree: fs.ffree };
}

/** Bytes programs could still get, as the eviction signal `memory.available` counts: total less the working set. */
export function availableMemoryBytes(): number {
  return kibibytes(text("/proc/meminfo"), "MemAvailable");
}

/** Process ids the kernel may give out, and those in use. */
export function pidFacts(): { max: number; running: number } {
  const running = Number(text("/proc/loadavg").split(/[\s/]+/)[4] ?? "0");
  const limits = [text("/proc/sys/kernel/pid_max"), text("/proc/sys/kernel/threads-max")].map(Number).filter((limit) => limit > 0);
  return { max: Math.min(...limits), running };
}

/** Whether the kernel enforces AppArmor's profiles; one that was booted without says so. */
export function hasAppArmor(): boolean {
  return text("/sys/module/apparmor/parameters/enabled").startsWith("Y");
}

async function hugepages(): Promise<Record<string, number>> {
  const root = "/sys/kernel/mm/hugepages";
  const sizes = await readdir(root).catch(() => []);
  const result: Record<string, number> = {};
  for (const size of sizes) {
    const kib = Number(/^hugepages-(\d+)kB$/.exec(size)?.[1] ?? "0");
    if (kib === 0) continue;
    const name = kib >= 1_048_576 ? `${kib / 1_048_576}Gi` : kib >= 1_024 ? `${kib / 1_024}Mi` : `${kib}Ki`;
    result[`hugepages-${name}`] = Number(text(join(root, size, "nr_hugepages"))) * kib * 1024;
  }
  return result;
}

function kibibytes(meminfo: string, field: string): number {
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, "m").exec(meminfo)?.[1] ?? "0") * 1024;
}

function text(path: string): string {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return "";
  }
}
