// The difference between two values, for messages that say what may not change.

const MAX_LINES = 20;

/** One line per field that differs: `-` what was, `+` what was asked for. */
export function describeDifference(old: unknown, next: unknown): string {
  const lines: string[] = [];
  collect("", old, next, lines);
  const shown = lines.slice(0, MAX_LINES);
  return (lines.length > MAX_LINES ? [...shown, "  ..."] : shown).join("\n");
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

// Where, before, after, and the lines so far.
function collect(path: string, old: unknown, next: unknown, lines: string[]): void {
  if (Object.is(old, next)) return;
  if (!isObject(old) || !isObject(next) || Array.isArray(old) !== Array.isArray(next)) {
    if (JSON.stringify(old) === JSON.stringify(next)) return;
    if (old !== undefined) lines.push(`- ${path}: ${JSON.stringify(old)}`);
    if (next !== undefined) lines.push(`+ ${path}: ${JSON.stringify(next)}`);
    return;
  }
  for (const key of new Set([...Object.keys(old), ...Object.keys(next)])) {
    const at = Array.isArray(old) ? `${path}[${key}]` : path === "" ? key : `${path}.${key}`;
    collect(at, old[key], next[key], lines);
  }
}
