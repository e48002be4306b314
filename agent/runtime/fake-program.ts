// What a fake container "runs": the handful of commands tests use, without a process.
// Scheduling, states and events are the fake runtime's.

/** What a program does: it prints `output` at once and ends with `exitCode` after `afterMs`; without one it runs until stopped. */
export interface FakeProgram {
  readonly output: string;
  readonly exitCode?: number;
  readonly afterMs?: number;
  /** Copies stdin to stdout until it ends. */
  readonly echoesStdin?: boolean;
  /** Ignores the stop signal, so that only SIGKILL ends it. */
  readonly ignoresStop?: boolean;
}

const FOREVER: FakeProgram = { output: "" };

/** Interprets `exit N`, `echo X`, `sleep N`, `cat`, `true`, `false` and `;`-joined scripts of them; anything else runs until stopped. */
export function interpret(command: readonly string[]): FakeProgram {
  const [name = "", ...args] = command;
  const base = name.split("/").at(-1);
  if (base === "sh" && args[0] === "-c") return script(args[1] ?? "");
  return simple(base ?? "", args) ?? FOREVER;
}

function script(text: string): FakeProgram {
  let output = "";
  let afterMs = 0;
  for (const statement of text.split(";").map((part) => part.trim()).filter(Boolean)) {
    const [name = "", ...args] = statement.split(/\s+/);
    if (name === "exec") return { ...interpret(args), output };
    if (name === "trap") return { ...FOREVER, output, ignoresStop: true };
    const program = simple(name, args.map((arg) => arg.replace(/^["']|["']$/g, "")));
    if (!program || program.exitCode === undefined) return { ...(program ?? FOREVER), output };
    output += program.output;
    afterMs += program.afterMs ?? 0;
    if (name === "exit") return { output, exitCode: program.exitCode, afterMs };
  }
  return { output, exitCode: 0, afterMs };
}

function simple(name: string, args: readonly string[]): FakeProgram | undefined {
  switch (name) {
    case "true": return { output: "", exitCode: 0 };
    case "false": return { output: "", exitCode: 1 };
    case "exit": return { output: "", exitCode: Number(args[0] ?? 0) };
    case "echo": return { output: `${args.join(" ")}\n`, exitCode: 0 };
    case "sleep": return Number.isFinite(Number(args[0])) ? { output: "", exitCode: 0, afterMs: Number(args[0]) * 1000 } : FOREVER;
    case "cat": return args.length === 0 ? { output: "", echoesStdin: true } : undefined;
    default: return undefined;
  }
}
