// What is wrong with a text that is no JSON, in the words of Go's encoding/json, by which people search.
// Only texts a parser has refused come here, so it is written to be short, not fast.

const WORDS: Readonly<Record<string, string>> = { t: "true", f: "false", n: "null" };
const END = "unexpected end of JSON input";

class Wrong extends Error {}

/** The first mistake in a text; undefined when there is none after all. */
export function jsonError(text: string): string | undefined {
  try {
    const end = space(text, value(text, space(text, 0)));
    if (end < text.length) wrong(text, end, "after top-level value");
    return undefined;
  } catch (error) {
    if (error instanceof Wrong) return error.message;
    throw error;
  }
}

/** What a text that cannot be used begins with: as it is when it may be an object, else in hexadecimal. */
export function summaryOf(body: Buffer, most = 30): string {
  if (body.length === 0) return "<empty>";
  const head = body.subarray(0, most);
  return `${body[0] === 0x7b ? head.toString() : head.toString("hex")}${body.length > most ? " ..." : ""}`;
}

function value(text: string, at: number): number {
  const first = text[at];
  if (first === "{") return object(text, at);
  if (first === "[") return list(text, at);
  if (first === '"') return string(text, at);
  if (first === "-" || isDigit(first)) return number(text, at);
  const word = WORDS[first ?? ""];
  if (!word) return wrong(text, at, "looking for beginning of value");
  for (let index = 1; index < word.length; index++) if (text[at + index] !== word[index]) wrong(text, at + index, `in literal ${word} (expecting ${quoted(word[index] as string)})`);
  return at + word.length;
}

function object(text: string, open: number): number {
  let at = space(text, open + 1);
  if (text[at] === "}") return at + 1;
  for (;;) {
    if (text[at] !== '"') wrong(text, at, "looking for beginning of object key string");
    at = space(text, string(text, at));
    if (text[at] !== ":") wrong(text, at, "after object key");
    at = space(text, value(text, space(text, at + 1)));
    if (text[at] === "}") return at + 1;
    if (text[at] !== ",") wrong(text, at, "after object key:value pair");
    at = space(text, at + 1);
  }
}

function list(text: string, open: number): number {
  let at = space(text, open + 1);
  if (text[at] === "]") return at + 1;
  for (;;) {
    at = space(text, value(text, at));
    if (text[at] === "]") return at + 1;
    if (text[at] !== ",") wrong(text, at, "after array element");
    at = space(text, at + 1);
  }
}

function string(text: string, open: number): number {
  let at = open + 1;
  while (text[at] !== '"') {
    if (text[at] === "\\") at = escape(text, at + 1);
    else if ((text[at] ?? "") < " ") wrong(text, at, "in string literal");
    else at++;
  }
  return at + 1;
}

function escape(text: string, at: number): number {
  if (text[at] !== "u") return '"\\/bfnrt'.includes(text[at] ?? "x") ? at + 1 : wrong(text, at, "in string escape code");
  for (let index = 1; index <= 4; index++) if (!/[\da-fA-F]/.test(text[at + index] ?? "")) wrong(text, at + index, "in \\u hexadecimal character escape");
  return at + 5;
}

function number(text: string, start: number): number {
  let at = text[start] === "-" ? start + 1 : start;
  if (text[at] === "0") at++;
  else at = digits(text, at, "in numeric literal");
  if (text[at] === ".") at = digits(text, at + 1, "after decimal point in numeric literal");
  if (text[at] !== "e" && text[at] !== "E") return at;
  return digits(text, /[+-]/.test(text[at + 1] ?? "") ? at + 2 : at + 1, "in exponent of numeric literal");
}

function digits(text: string, start: number, where: string): number {
  let at = start;
  while (isDigit(text[at])) at++;
  return at === start ? wrong(text, at, where) : at;
}

function isDigit(character: string | undefined): boolean {
  return character !== undefined && character >= "0" && character <= "9";
}

function space(text: string, from: number): number {
  let at = from;
  while (text[at] === " " || text[at] === "\n" || text[at] === "\t" || text[at] === "\r") at++;
  return at;
}

function wrong(text: string, at: number, where: string): never {
  const point = text.codePointAt(at);
  throw new Wrong(point === undefined ? END : `invalid character ${quoted(String.fromCodePoint(point))} ${where}`);
}

/** A character as Go quotes it. */
function quoted(character: string): string {
  if (character === "'") return "'\\''";
  if (character === '"') return "'\"'";
  return `'${JSON.stringify(character).slice(1, -1)}'`;
}
