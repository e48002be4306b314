// Fails the build when an import points against the layers: lib <- api <- {control, agent, net} <- cmd.
// Reads the source text, because transpiler scans drop `import type`.
import { Glob } from "bun";
import { dirname, join, normalize, relative } from "node:path";

/** For each layer, the layers it may import besides itself. The longest matching folder decides. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  lib: [],
  api: ["lib"],
  "api/client": ["lib", "api"],
  control: ["lib", "api", "api/client", "control/store", "control/pki", "control/apiserver", "control/controllers", "control/scheduler"],
  "control/store": ["lib"],
  "control/pki": ["lib"],
  "control/apiserver": ["lib", "api", "api/client", "control/store", "control/pki"],
  "control/controllers": ["lib", "api", "api/client", "control/pki"],
  "control/scheduler": ["lib", "api", "api/client"],
  agent: ["lib", "api", "api/client", "net", "net/host"],
  net: ["lib", "api", "api/client", "net/host"],
  "net/host": ["lib"],
  cni: ["lib", "net/host"],
  cmd: ["lib", "api", "api/client", "control", "control/store", "control/pki", "control/apiserver", "control/controllers", "control/scheduler", "agent", "net", "net/host", "cni"],
  scripts: ["lib", "api", "api/client", "cmd", "agent", "control/store", "control/apiserver"],
};
const LAYERS = Object.keys(MAY_IMPORT).sort((a, b) => b.length - a.length);
const IMPORT = /(?:^|\n)\s*(?:import|export)\s[^;]*?\sfrom\s+["'](\.[^"']+)["']|import\(\s*["'](\.[^"']+)["']\s*\)|(?:^|\n)\s*import\s+["'](\.[^"']+)["']/g;

const layerOf = (path: string): string | undefined => LAYERS.find((layer) => path.startsWith(`${layer}/`));
const root = join(import.meta.dir, "..");
const violations: string[] = [];
let files = 0;

for await (const file of new Glob("{lib,api,control,agent,net,cni,cmd,scripts,e2e}/**/*.ts").scan(root)) {
  files++;
  const layer = layerOf(file);
  if (!layer) continue;
  const isTest = /\.(test|suite)\.ts$/.test(file);
  for (const match of (await Bun.file(join(root, file)).text()).matchAll(IMPORT)) {
    const target = relative(root, normalize(join(root, dirname(file), (match[1] ?? match[2] ?? match[3]) as string)));
    const targetLayer = layerOf(target);
    if (!targetLayer || targetLayer === layer || MAY_IMPORT[layer]?.includes(targetLayer)) continue;
    // Tests may compose what they test with; product code may not.
    if (isTest && !(layer.startsWith("control") && targetLayer.startsWith("agent"))) continue;
    violations.push(`${file}: ${layer} may not import ${targetLayer} (${target})`);
  }
}

if (violations.length > 0) {
  console.error(violations.join("\n"));
  process.exit(1);
}
console.log(`imports: ${files} files, every edge points down`);
