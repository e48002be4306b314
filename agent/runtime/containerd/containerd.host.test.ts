import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { systemClock } from "../../../lib/clock.ts";
import { hostExec } from "../../../lib/exec.ts";
import { busyboxImage } from "../busybox-image.ts";
import { createRuntime, type CreateRuntimeOptions } from "../create.ts";
import { runtimeSuite } from "../runtime.suite.ts";
import { removePrivateContainerd } from "./remove.ts";

function optionsFor(dataDir: string): CreateRuntimeOptions {
  return { kind: "containerd", dataDir, cniBinDir: join(dataDir, "cni/bin"), cniConfDir: join(dataDir, "cni/conf") };
}

const IMAGE = "minik8s.test/busybox:suite";

runtimeSuite("a private containerd", async () => {
  // Short, and not in a directory others may not enter: containers' files live below it.
  const dataDir = mkdtempSync("/tmp/mk8s-rt-");
  const runtime = await createRuntime(optionsFor(dataDir));
  const tar = join(dataDir, "busybox.tar");
  writeFileSync(tar, busyboxImage(IMAGE));
  await runtime.images.load(tar);
  while (!(await runtime.images.status(IMAGE))) await Bun.sleep(20);
  const dispose = async (): Promise<void> => {
    await runtime.close();
    await removePrivateContainerd({ dataDir, purge: true, exec: hostExec, clock: systemClock });
    rmSync(dataDir, { recursive: true, force: true });
  };
  return { runtime, image: IMAGE, real: true, dispose };
});
