// Makes `has()` take what CEL's takes: a field of anything, where the engine wants a chain of names only.
// `has(a["b"].c)` becomes `cel.bind(has_of, a["b"], has(has_of.c))`, which is the same question.

const NAME = "has_of_";
const CHAIN = /^[\w\s.?]*$/;
const FIELD = /^([\s\S]*\S)\s*\.\s*([A-Za-z_]\w*)\s*$/;

/** The expression with such calls rewritten; everything else stays as written. */
export function widenHas(source: string): string {
  if (!source.includes("has(")) return source;
  let result = "";
  let at = 0;
  while (at < source.length) {
    const end = skipQuoted(source, at);
    const argument = end === at && isCall(source, at) ? argumentAt(source, at + 4) : undefined;
    if (argument === undefined) {
      result += source.slice(at, Math.max(end, at + 1));
      at = Math.max(end, at + 1);
      continue;
    }
    result += widened(argument);
    at += "has(".length + argument.length + 1;
  }
  return result;
}

function isCall(source: string, at: number): boolean {
  return source.startsWith("has(", at) && !/[\w.]/.test(source[at - 1] ?? " ");
}

function widened(argument: string): string {
  const [, object = "", field = ""] = FIELD.exec(argument) ?? [];
  if (field === "" || CHAIN.test(object)) return `has(${argument})`;
  return `cel.bind(${NAME}, ${widenHas(object)}, has(${NAME}.${field}))`;
}

/** What stands between a parenthesis that was opened before `from` and its end; undefined when it has none. */
function argumentAt(source: string, from: number): string | undefined {
  let depth = 1;
  let at = from;
  while (at < source.length) {
    const end = skipQuoted(source, at);
    if (end > at) {
      at = end;
      continue;
    }
    if ("([{".includes(source[at] as string)) depth++;
    else if (")]}".includes(source[at] as string) && --depth === 0) return source.slice(from, at);
    at++;
  }
  return undefined;
}

/** Where a string or comment that begins at `at` ends; `at` itself when none does. */
function skipQuoted(source: string, at: number): number {
  if (source.startsWith("//", at)) {
    const end = source.indexOf("\n", at);
    return end < 0 ? source.length : end;
  }
  const quote = /^(?:"""|'''|"|')/.exec(source.slice(at, at + 3))?.[0];
  if (quote === undefined) return at;
  const isRaw = /[rR]/.test(source[at - 1] ?? "");
  let end = at + quote.length;
  while (end < source.length && !source.startsWith(quote, end)) end += !isRaw && source[end] === "\\" ? 2 : 1;
  return Math.min(source.length, end + quote.length);
}
