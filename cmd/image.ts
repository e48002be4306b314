// Images into this node's runtime without a registry.
import { existsSync } from "node:fs";
import { createRuntime } from "../agent/runtime/create.ts";
import type { Invocation } from "./commands.ts";
import { UsageError } from "./flags.ts";
import { nodesRuntime } from "./runtimechoice.ts";
import { cniPaths } from "./podnetwork.ts";

export async function runImage({ values, positionals }: Invocation): Promise<number> {
  const [action, ...files] = positionals;
  if (action !== "load" || files.length === 0) throw new UsageError("image: say `image load FILE...`");
  for (const file of files) if (!existsSync(file)) throw new UsageError(`image load ${file}: no such file`);
  const dataDir = values["data-dir"] as string;
  const runtime = await createRuntime({ ...nodesRuntime(dataDir, values), dataDir, ...cniPaths(dataDir), adopt: false });
  try {
    for (const file of files) {
      await runtime.images.load(file);
      process.stdout.write(`loaded ${file}\n`);
    }
  } finally {
    await runtime.close();
  }
  return 0;
}
