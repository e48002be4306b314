import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { busyboxImage } from "../busybox-image.ts";
import { runtimeSuite } from "../runtime.suite.ts";
import type { SandboxNetwork } from "./networks.ts";
import { DockerRuntime } from "./runtime.ts";
import { startDockerd } from "./testing.ts";

const IMAGE = "minik8s.test/busybox:suite";
const noNetwork: SandboxNetwork = { attach: () => Promise.resolve({ ips: ["10.88.0.9"] }), detach: () => Promise.resolve() };

runtimeSuite("a Docker engine", async () => {
  const engine = await startDockerd();
  const dataDir = join(engine.directory, "agent");
  mkdirSync(dataDir);
  const runtime = await DockerRuntime.connect({ socketPath: engine.socketPath, dataDir, network: noNetwork });
  const tar = join(dataDir, "busybox.tar");
  writeFileSync(tar, busyboxImage(IMAGE));
  await runtime.images.load(tar);
  const dispose = async (): Promise<void> => {
    await runtime.close();
    await engine.stop();
  };
  return { runtime, image: IMAGE, real: true, dispose };
});
