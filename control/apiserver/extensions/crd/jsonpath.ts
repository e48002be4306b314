// The JSONPath that printer columns, selectable fields and scale paths are written in: fields, indexes, wildcards and simple filters.
// A path that means nothing finds nothing.
export type Step =
  | { readonly type: "field"; readonly name: string }
  | { readonly type: "index"; readonly index: number }
  | { readonly type: "all" }
  | { readonly type: "filter"; readonly path: readonly Step[]; readonly operator: string; readonly value: unknown };

const TOKEN = /^(?:\.([^.[\]\\]+(?:\\.[^.[\]\\]*)*)|\[(-?\d+)\]|\[\*\]|\.\*|\['((?:[^'\\]|\\.)*)'\]|\["((?:[^"\\]|\\.)*)"\]|\[\?\(\s*@((?:\.[\w-]+)+)\s*(==|!=|<=|>=|<|>)\s*(?:"([^"]*)"|'([^']*)'|([\w.-]+))\s*\)\])/;

/** Parses a path such as `.status.conditions[?(@.type=="Ready")].status`; undefined for one that cannot be read. */
export function parseJsonPath(text: string): readonly Step[] | undefined {
  const steps: Step[] = [];
  let rest = text.startsWith("{") && text.endsWith("}") ? text.slice(1, -1) : text;
  if (rest.startsWith("$")) rest = rest.slice(1);
  while (rest !== "") {
    const match = TOKEN.exec(rest);
    if (!match) return undefined;
    steps.push(stepOf(match));
    rest = rest.slice(match[0].length);
  }
  return steps;
}

function stepOf(match: RegExpExecArray): Step {
  const [whole, field, index, single, double, path, operator, a, b, bare] = match;
  if (path !== undefined) return { type: "filter", path: parseJsonPath(path) ?? [], operator: operator as string, value: a ?? b ?? literal(bare ?? "") };
  if (whole === "[*]" || whole === ".*") return { type: "all" };
  if (index !== undefined) return { type: "index", index: Number(index) };
  return { type: "field", name: (field ?? single ?? double ?? "").replace(/\\(.)/g, "$1") };
}

function literal(text: string): unknown {
  if (text === "true" || text === "false") return text === "true";
  return text !== "" && Number.isFinite(Number(text)) ? Number(text) : text;
}

/** Everything a path finds in a value. */
export function findAll(value: unknown, steps: readonly Step[]): unknown[] {
  let found = [value];
  for (const step of steps) found = found.flatMap((item) => advance(item, step));
  return found;
}

function advance(value: unknown, step: Step): unknown[] {
  if (typeof value !== "object" || value === null) return [];
  if (step.type === "field") return step.name in value ? [(value as Record<string, unknown>)[step.name]] : [];
  if (step.type === "all") return Object.values(value);
  if (!Array.isArray(value)) return [];
  if (step.type === "index") return value.slice(step.index).slice(0, 1);
  return value.filter((item) => holds(findAll(item, step.path)[0], step.operator, step.value));
}

function holds(found: unknown, operator: string, wanted: unknown): boolean {
  if (operator === "==") return found === wanted;
  if (operator === "!=") return found !== wanted;
  if (typeof found !== typeof wanted || (typeof found !== "number" && typeof found !== "string")) return false;
  const [a, b] = [found, wanted as typeof found];
  return operator === "<" ? a < b : operator === "<=" ? a <= b : operator === ">" ? a > b : a >= b;
}
