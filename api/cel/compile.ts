// Compiles CEL expressions and says what is wrong with them in the words of upstream's compiler.
import { ParseError, type ASTNode, type Environment, type ParseResult } from "@marcbachmann/cel-js";
import { MATCHES } from "./environment.ts";
import { widenHas } from "./has.ts";

/** An expression that can be evaluated. */
export interface Program {
  readonly source: string;
  readonly ast: ASTNode;
  /** The type it evaluates to, as far as that is known. */
  readonly type: string;
  evaluate(variables: Readonly<Record<string, unknown>>): unknown;
}

/** What a compiler said. */
export class CompileError extends Error {
  override readonly name = "CompileError";
}

/** Compiles; throws CompileError. `wanted` is the type it must have, where that matters. */
export function compile(env: Environment, source: string, wanted?: string): Program {
  const parsed = parse(env, source);
  const checked = parsed.check();
  if (!checked.valid) throw new CompileError(`compilation failed: ERROR: <input>:1:1: ${worded(checked.error as Error)}\n | ${source}`);
  const type = checked.type ?? "dyn";
  if (wanted !== undefined && type !== wanted && type !== "dyn") throw new CompileError(`must evaluate to ${wanted}`);
  return { source, ast: parsed.ast, type, evaluate: (variables) => evaluate(parsed, variables) };
}

function parse(env: Environment, source: string): ParseResult {
  try {
    const parsed = env.parse(widenHas(source));
    matchAsGoDoes(parsed.ast);
    return parsed;
  } catch (error) {
    const syntax = error instanceof ParseError || /unexpected|expected/i.test((error as Error).message);
    throw new CompileError(`compilation failed: ERROR: <input>:1:1: ${syntax ? "Syntax error: " : ""}${worded(error as Error)}\n | ${source}`, { cause: error });
  }
}

/** The engine's own `matches` uses JavaScript's expressions and cannot be replaced, so calls go to another. */
function matchAsGoDoes(part: unknown): void {
  if (Array.isArray(part)) {
    for (const inner of part) matchAsGoDoes(inner);
    return;
  }
  const { op, args } = (part ?? {}) as { op?: string; args?: unknown[] };
  if (op === "rcall" && args?.[0] === "matches") args[0] = MATCHES;
  if (op !== undefined) matchAsGoDoes(args);
}

function evaluate(parsed: ParseResult, variables: Readonly<Record<string, unknown>>): unknown {
  try {
    return parsed(variables) as unknown;
  } catch (error) {
    throw new Error(worded(error as Error).replace(/^undefined field '(.*)'$/, "no such key: $1"), { cause: error });
  }
}

function worded(error: Error): string {
  const [first = ""] = error.message.split("\n");
  return first
    .replace(/^No such key: (.*)$/, "undefined field '$1'")
    .replace(/^no such overload: (\S+) (\S+) (\S+)$/, "found no matching overload for '_$2_' applied to '($1, $3)'")
    .replace(/^Unknown variable: (.*)$/, "undeclared reference to '$1' (in container '')");
}

/** Whether an expression uses a variable. */
export function mentions(ast: unknown, variable: string): boolean {
  if (typeof ast !== "object" || ast === null) return false;
  if (Array.isArray(ast)) return ast.some((part) => mentions(part, variable));
  const { op, args } = ast as { op?: string; args?: unknown };
  if (op === undefined) return false;
  return op === "id" ? args === variable : mentions(args, variable);
}
