// From words to a command: finds it, reads its flags, sets logging up, turns failures into one clear line.
import { COMMANDS, type Command } from "./commands.ts";
import { describeFlags, parseFlags, UsageError } from "./flags.ts";
import { configureLogging, type LogLevel } from "../lib/log.ts";

const EXIT_USAGE = 2;

/** Runs the command `args` name; returns the exit code. */
export async function dispatch(args: readonly string[]): Promise<number> {
  const [first, ...rest] = args;
  if (first === undefined || first === "help" || first === "--help" || first === "-h") {
    process.stdout.write(overview());
    return first === undefined ? EXIT_USAGE : 0;
  }
  if (first === "--version") return dispatch(["version"]);
  const command = COMMANDS.find(({ name }) => name === first);
  if (!command) return complain(`unknown command: ${first}`, "minik8s --help");
  const own = rest.includes("--") ? rest.slice(0, rest.indexOf("--")) : rest;
  if (own.includes("--help") || own.includes("-h")) {
    process.stdout.write(help(command));
    return 0;
  }
  return run(command, rest);
}

async function run(command: Command, args: readonly string[]): Promise<number> {
  try {
    const invocation = parseFlags(command.flags, args);
    const { values } = invocation;
    const format = values["log-format"] ?? "auto";
    configureLogging({ // Commands that only do one thing keep quiet unless something is wrong.
      level: (values["log-level"] ?? "warn") as LogLevel, human: format === "human" || (format === "auto" && process.stderr.isTTY) });
    return await (await command.load())(invocation);
  } catch (error) {
    if (error instanceof UsageError) return complain(error.message, `minik8s ${command.name} --help`);
    process.stderr.write(`error: ${describe(error)}\n`);
    if (process.env["MINIK8S_LOG_LEVEL"] === "debug") process.stderr.write(`${(error as Error).stack}\n`);
    return 1;
  }
}

function complain(message: string, see: string): number {
  process.stderr.write(`error: ${message}; see ${see}\n`);
  return EXIT_USAGE;
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function overview(): string {
  const width = Math.max(...COMMANDS.map(({ name }) => name.length)) + 2;
  const lines = COMMANDS.map(({ name, summary }) => `  ${name.padEnd(width)}${summary}`);
  return `minik8s: Kubernetes in one executable\n\nusage: minik8s COMMAND [FLAGS]\n\n${lines.join("\n")}\n\nminik8s COMMAND --help tells more. Every flag is also MINIK8S_<FLAG> in the environment and a key in --config.\n`;
}

function help({ name, summary, words, flags }: Command): string {
  return `minik8s ${name}: ${summary}\n\nusage: minik8s ${name}${words ? ` ${words}` : ""} [FLAGS]\n\n${describeFlags(flags)}\n`;
}
