// The control plane a run is against: started on an empty directory, watched through /proc, or somebody else's.
import { existsSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadKubeconfig } from "../../api/client/kubeconfig.ts";
import { memoryMB } from "../bench-parts/process.ts";
import type { Server } from "./send.ts";

export interface Target extends Server {
  /** Resident memory; undefined for a server that runs elsewhere. */
  memoryMB(): number | undefined;
  /** False once the process has ended by itself. */
  isAlive(): boolean;
  log(): string;
  stop(): Promise<void>;
}

/** A server somebody else runs. */
export function existingTarget(kubeconfig: string): Target {
  const { server, clientCertificate, token } = loadKubeconfig(kubeconfig);
  return { url: new URL(server), certificate: clientCertificate?.(), token: token?.(), memoryMB: () => undefined, isAlive: () => true, log: () => "", stop: async () => {} };
}

/** Starts `binary` in a new directory and returns once it has written its kubeconfig and is ready. */
export async function startTarget(binary: string, { keep }: { keep: boolean }): Promise<Target> {
  const directory = mkdtempSync(join(tmpdir(), "minik8s-fuzz-"));
  const logFile = join(directory, "control.log");
  const output = openSync(logFile, "a");
  const port = await freePort();
  const child = Bun.spawn([binary, "control", "--init", "--data-dir", directory, "--bind-address", "127.0.0.1", "--advertise-address", "127.0.0.1", "--port", String(port)], { stdout: output, stderr: output });
  const log = (): string => readFileSync(logFile, "utf8");
  const isReady = (): Promise<boolean> => fetch(`https://127.0.0.1:${port}/readyz`, { tls: { rejectUnauthorized: false } }).then((reply) => reply.ok, () => false);
  while (!existsSync(join(directory, "admin.conf")) || !(await isReady())) {
    if (child.exitCode !== null) throw new Error(`${binary} exited ${child.exitCode} while starting:\n${log()}`);
    await Bun.sleep(50);
  }
  return {
    ...existingTarget(join(directory, "admin.conf")), log,
    memoryMB: () => (child.exitCode === null ? memoryMB(child.pid) : undefined),
    isAlive: () => child.exitCode === null,
    stop: async () => {
      child.kill("SIGTERM");
      await child.exited;
      if (!keep) rmSync(directory, { recursive: true, force: true });
    },
  };
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}
