// Makes dist/minik8s: one executable with runtime, code, schema and the LevelDB addon inside.
// `bun scripts/build.ts [--target x64|arm64] [--outfile PATH]`; without a target, this machine's.
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { BunPlugin } from "bun";

const root = join(import.meta.dir, "..");
const TARGETS = {
  x64: { bun: "bun-linux-x64", addon: "linux-x64/classic-level.node", runtime: "@oven/bun-linux-x64" },
  arm64: { bun: "bun-linux-arm64", addon: "linux-arm64/classic-level.armv8.node", runtime: "@oven/bun-linux-aarch64" },
} as const;
type Target = keyof typeof TARGETS;

const { values } = parseArgs({ options: { target: { type: "string" }, outfile: { type: "string" } } });
const target = (values.target ?? (process.arch === "arm64" ? "arm64" : "x64")) as Target;
if (!(target in TARGETS)) {
  console.error(`--target ${values.target}: must be x64 or arm64`);
  process.exit(2);
}
const isNative = target === (process.arch === "arm64" ? "arm64" : "x64");
const outfile = values.outfile ?? join(root, "dist", isNative ? "minik8s" : `minik8s-${target}`);

/** The addon looks for its binary at run time; a literal path lets the bundler put it inside. */
const embedAddon: BunPlugin = {
  name: "embed-classic-level",
  setup(build) {
    build.onLoad({ filter: /classic-level[\\/]binding\.js$/ }, () => ({ contents: `module.exports = require("./prebuilds/${TARGETS[target].addon}")`, loader: "js" }));
  },
};

/** ssh2 and cpu-features are optional parts of the Docker client that minik8s never uses: it speaks to a local socket. */
const leaveOutSsh: BunPlugin = {
  name: "leave-out-ssh",
  setup(build) {
    build.onResolve({ filter: /^(ssh2|cpu-features)$/ }, (args) => ({ path: args.path, namespace: "left-out" }));
    build.onLoad({ filter: /.*/, namespace: "left-out" }, () => ({ contents: "module.exports = { Client: class {}, utils: {} };", loader: "js" }));
  },
};

const begin = performance.now();
mkdirSync(join(root, "dist"), { recursive: true });
await run(["bun", "scripts/schema.ts"]);
const runtime = isNative ? undefined : await runtimeFor(target);
const result = await Bun.build({
  // Threads start from entry points of their own.
  entrypoints: [join(root, "cmd/main.ts"), join(root, "control/apiserver/http/yaml-worker.ts")],
  root,
  target: "bun",
  minify: { whitespace: true, syntax: true, identifiers: false },
  sourcemap: "none",
  // A mode parses only its own part: as a network plugin, started for every pod, that is 10 ms instead of 90.
  splitting: true,
  plugins: [embedAddon, leaveOutSsh],
  define: { "process.env.MINIK8S_BUILD": JSON.stringify(await buildLabel()) },
  compile: { target: TARGETS[target].bun as "bun-linux-x64", outfile, autoloadDotenv: false, autoloadBunfig: false, ...(runtime && { executablePath: runtime }) },
});
if (!result.success) {
  console.error(result.logs.join("\n"));
  process.exit(1);
}
const megabytes = (Bun.file(outfile).size / 1e6).toFixed(0);
console.log(`built ${outfile} (${target}, ${megabytes} MB) in ${((performance.now() - begin) / 1000).toFixed(1)} s`);

/** Another architecture's runtime comes from its registry package, fetched once into dist/. */
async function runtimeFor(other: Target): Promise<string> {
  const name = TARGETS[other].runtime;
  const path = join(root, "dist", "runtimes", "node_modules", name, "bin", "bun");
  if (!existsSync(path)) await run(["npm", "install", "--no-save", "--force", "--ignore-scripts", "--prefix", "dist/runtimes", `${name}@${Bun.version}`]);
  return path;
}

async function buildLabel(): Promise<string> {
  const git = Bun.spawn(["git", "rev-parse", "--short", "HEAD"], { cwd: root, stdout: "pipe", stderr: "ignore" });
  const commit = (await new Response(git.stdout).text()).trim();
  return commit || "unknown";
}

async function run(command: string[]): Promise<void> {
  const child = Bun.spawn(command, { cwd: root, stdout: "inherit", stderr: "inherit" });
  if ((await child.exited) !== 0) throw new Error(`${command.join(" ")} failed`);
}
