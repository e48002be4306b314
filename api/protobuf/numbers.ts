// Reads the tables of field numbers: which field of which type a number in a protobuf message stands for.
import { CORE_NUMBERS } from "./numbers-core.ts";
import { GROUP_NUMBERS } from "./numbers-groups.ts";

/** What a number stands for: a field, or a message whose fields JSON shows inline. */
export type Numbered = string | NumberTable;
export type NumberTable = ReadonlyMap<number, Numbered>;

const texts = new Map<string, string>();
const tables = new Map<string, NumberTable>();

/** The numbers of a type, by its short name such as `core.v1.Pod`; undefined for a type without any. */
export function numbersOf(type: string): NumberTable | undefined {
  const known = tables.get(type);
  if (known) return known;
  if (texts.size === 0) for (const line of `${CORE_NUMBERS}${GROUP_NUMBERS}`.split("\n")) if (line !== "") texts.set(line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim());
  const text = texts.get(type);
  if (text === undefined) return undefined;
  const table = parse(text);
  tables.set(type, table);
  return table;
}

function parse(text: string): NumberTable {
  const root = new Map<number, Numbered>();
  const open: { table: Map<number, Numbered>; last: number }[] = [{ table: root, last: 0 }];
  for (const [, word, close, given] of text.matchAll(/(\(|[^\s()=]+)?(\))?(?:=(\d+))?/g)) {
    const current = open.at(-1)!;
    if (word === "(") {
      open.push({ table: new Map(), last: 0 });
      continue;
    }
    if (word) put(current, word, close ? undefined : given);
    if (!close) continue;
    open.pop();
    put(open.at(-1)!, current.table, given);
  }
  return root;
}

function put(current: { table: Map<number, Numbered>; last: number }, value: Numbered, given: string | undefined): void {
  current.last = given ? Number(given) : current.last + 1;
  current.table.set(current.last, value);
}
