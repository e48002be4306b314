// Typed object literals (`Object.spec{replicas: 1}`, `JSONPatch{op: "add"}`) written as maps, which is all the CEL engine builds.
// What is inside strings and what are maps already is left alone.

const TOKEN = /[rRbB]?"""[\s\S]*?"""|[rRbB]?'''[\s\S]*?'''|[rRbB]?"(?:[^"\\\n]|\\.)*"|[rRbB]?'(?:[^'\\\n]|\\.)*'|\/\/[^\n]*|(?:Object|JSONPatch)(?:\s*\.\s*[A-Za-z_]\w*)*\s*\{|[A-Za-z_]\w*|[{}()[\],:]|\s+|[\s\S]/g;

/** The same expression with its typed literals as maps. */
export function mapLiterals(source: string): string {
  if (!/(Object|JSONPatch)[\w\s.]*\{/.test(source)) return source;
  const open: ("struct" | "other")[] = [];
  let atKey = false;
  return source.replace(TOKEN, (token) => {
    if (token.endsWith("{") && token.length > 1 && /^(Object|JSONPatch)/.test(token)) {
      open.push("struct");
      atKey = true;
      return "{";
    }
    if (/^\s+$|^\/\//.test(token)) return token;
    const wasAtKey = atKey;
    atKey = false;
    if ("{([".includes(token)) open.push("other");
    else if ("})]".includes(token)) open.pop();
    else if (token === ",") atKey = open.at(-1) === "struct";
    else if (wasAtKey && /^[A-Za-z_]\w*$/.test(token)) return JSON.stringify(token);
    return token;
  });
}

/** A CEL value as JSON: integers as numbers, maps as objects, names as they were before they were escaped. */
export function fromCel(value: unknown): unknown {
  if (typeof value === "bigint") return Number(value);
  if (value instanceof Date) return value.toISOString().replace(/\.000Z$/, "Z");
  if (value instanceof Uint8Array) return Buffer.from(value).toString("base64");
  if (Array.isArray(value)) return value.map(fromCel);
  if (typeof value !== "object" || value === null) return value;
  const entries = value instanceof Map ? [...(value as Map<unknown, unknown>)] : Object.entries(value);
  return Object.fromEntries(entries.map(([key, inner]) => [String(key), fromCel(inner)]));
}
