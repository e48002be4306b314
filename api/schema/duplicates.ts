// Finds keys that a JSON text spells twice in one object, which parsing silently merges.
// Counting is cheap and done for every body; paths are worked out only when a count says there is something to find.

/** How many keys all objects of a JSON text spell; the text must be valid JSON. */
export function countKeysInText(text: string): number {
  let keys = 0;
  for (let open = text.indexOf('"'); open >= 0; ) {
    let close = text.indexOf('"', open + 1);
    while (isEscaped(text, close)) close = text.indexOf('"', close + 1);
    let next = close + 1;
    let code = text.charCodeAt(next);
    while (code === 32 || code === 10 || code === 13 || code === 9) code = text.charCodeAt(++next);
    if (code === 58) keys++;
    open = text.indexOf('"', next);
  }
  return keys;
}

/** How many keys all objects of a value have. */
export function countKeys(value: unknown): number {
  if (typeof value !== "object" || value === null) return 0;
  let count = 0;
  if (Array.isArray(value)) {
    for (const item of value) count += countKeys(item);
    return count;
  }
  for (const key of Object.keys(value)) count += 1 + countKeys((value as Record<string, unknown>)[key]);
  return count;
}

/** The path of every key spelled again, such as `spec.containers[0].name`, once each in order of appearance. */
export function duplicatePaths(text: string): string[] {
  const scanner = new Scanner(text);
  scanner.value("");
  return [...new Set(scanner.duplicates)];
}

function isEscaped(text: string, quote: number): boolean {
  let slashes = 0;
  while (text.charCodeAt(quote - 1 - slashes) === 92) slashes++;
  return slashes % 2 === 1;
}

/** Walks valid JSON text, remembering only keys. */
class Scanner {
  readonly duplicates: string[] = [];
  #at = 0;

  constructor(private readonly text: string) {}

  value(path: string): void {
    this.#skipSpace();
    const first = this.text[this.#at];
    if (first === "{") this.#object(path);
    else if (first === "[") this.#array(path);
    else if (first === '"') this.#string();
    else this.#at += /[^\s,\]}]*/y.exec(this.text.slice(this.#at))?.[0].length ?? 1;
    this.#skipSpace();
  }

  #object(path: string): void {
    const seen = new Set<string>();
    this.#at++;
    this.#skipSpace();
    while (this.#at < this.text.length && this.text[this.#at] !== "}") {
      const key = this.#string();
      const child = path === "" ? key : `${path}.${key}`;
      if (seen.has(key)) this.duplicates.push(child);
      seen.add(key);
      this.#skipPast(":");
      this.value(child);
      this.#skipPast(",");
    }
    this.#at++;
  }

  #array(path: string): void {
    this.#at++;
    this.#skipSpace();
    for (let index = 0; this.#at < this.text.length && this.text[this.#at] !== "]"; index++) {
      this.value(`${path}[${index}]`);
      this.#skipPast(",");
    }
    this.#at++;
  }

  #string(): string {
    let close = this.text.indexOf('"', this.#at + 1);
    while (isEscaped(this.text, close)) close = this.text.indexOf('"', close + 1);
    const literal = this.text.slice(this.#at, close + 1);
    this.#at = close + 1;
    return JSON.parse(literal) as string;
  }

  #skipPast(character: string): void {
    this.#skipSpace();
    if (this.text[this.#at] === character) this.#at++;
    this.#skipSpace();
  }

  #skipSpace(): void {
    while (this.#at < this.text.length && " \n\r\t".includes(this.text[this.#at] as string)) this.#at++;
  }
}
