// Structured logging: one line an event, for people on a terminal, JSON otherwise.
// Every module asks for its own child by name; secrets are never passed in.
import pino, { type Logger as PinoLogger } from "pino";

export type Logger = PinoLogger;
export type LogLevel = "trace" | "debug" | "info" | "warn" | "error" | "fatal" | "silent";
export const LOG_LEVELS: readonly LogLevel[] = ["trace", "debug", "info", "warn", "error", "fatal", "silent"];

const COLORS: Record<string, string> = { DEBUG: "\x1b[90m", INFO: "\x1b[36m", WARN: "\x1b[33m", ERROR: "\x1b[31m", FATAL: "\x1b[35m" };
const NAMES: Record<number, string> = { 10: "TRACE", 20: "DEBUG", 30: "INFO", 40: "WARN", 50: "ERROR", 60: "FATAL" };

let root: Logger = create("info", false);

/** Sets level and form for the whole process; call once, before anything logs. */
export function configureLogging(options: { level: LogLevel; human: boolean }): void {
  root = create(options.level, options.human);
}

/** A logger whose lines carry `component`. Looks the root up on every call, so it may be made at module load. */
export function logger(component: string): Logger {
  let child: Logger | undefined;
  let parent: Logger | undefined;
  return new Proxy({} as Logger, {
    get(_target, property) {
      if (!child || parent !== root) {
        parent = root;
        child = root.child({ component });
      }
      const value = Reflect.get(child, property) as unknown;
      return typeof value === "function" ? value.bind(child) : value;
    },
  });
}

function create(level: LogLevel, human: boolean): Logger {
  const options = { level, base: null, timestamp: pino.stdTimeFunctions.isoTime, serializers: { err: pino.stdSerializers.err } };
  return human ? pino(options, { write: (line: string) => void process.stderr.write(humanLine(line)) }) : pino(options, pino.destination({ fd: 2, sync: true }));
}

function humanLine(line: string): string {
  const { level, time, component, msg, err, ...rest } = JSON.parse(line) as Record<string, unknown>;
  const name = NAMES[level as number] ?? "INFO";
  const fields = Object.entries(rest).map(([key, value]) => ` ${key}=${typeof value === "string" ? value : JSON.stringify(value)}`).join("");
  const failure = err ? ` err=${JSON.stringify((err as { message?: string }).message)}` : "";
  return `${String(time).slice(11, 23)} ${COLORS[name] ?? ""}${name.padEnd(5)}\x1b[0m ${String(component ?? "")}: ${String(msg ?? "")}${fields}${failure}\n`;
}
