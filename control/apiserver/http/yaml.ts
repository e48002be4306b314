// YAML as Go's library reads and writes it: version 1.1, without the types JSON has no place for.
// Reading takes as long as a sender likes: what comes from outside is read in a thread of its own (yaml-reader.ts).
import { LineCounter, isAlias, isScalar, parseDocument, stringify, visit, type Document, type Tags } from "yaml";

/** Dates stay strings, and `12:30` is no number. */
const DROPPED = new Set(["tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:binary", "tag:yaml.org,2002:omap", "tag:yaml.org,2002:pairs", "tag:yaml.org,2002:set"]);

/** One document: as JSON text, or what is wrong with it, in upstream's words. */
export type YamlReading = { readonly json: string; readonly repeated?: string } | { readonly error: string };

/** Reads one document. `repeated` tells of keys that stand twice in one map. */
export function readYaml(text: string): YamlReading {
  try {
    const lines = new LineCounter();
    const document = parseDocument(text, { version: "1.1", merge: true, uniqueKeys: false, customTags: jsonTags, lineCounter: lines, logLevel: "error" });
    const [error] = document.errors;
    if (error) return refusal(`${error.linePos ? `line ${error.linePos[0].line}: ` : ""}${error.message.split("\n")[0]}`);
    const { repeated, oddKey } = keysOf(document, lines);
    if (oddKey !== undefined) return refusal(oddKey);
    return { json: JSON.stringify(document.toJS({ maxAliasCount: 100 }) ?? null), ...(repeated && { repeated }) };
  } catch (error) {
    if (error instanceof RangeError) return refusal("exceeded max depth of 10000");
    return refusal((error as Error).message.split("\n")[0] as string);
  }
}

/** Writes a document; words that older readers take for booleans are quoted. */
export function yamlText(value: unknown): string {
  return stringify(value, { version: "1.1", aliasDuplicateObjects: false });
}

function refusal(sentence: string): YamlReading {
  // Not every place in a text that is nested too deep can say so itself.
  const words = sentence.includes("Maximum call stack") ? "exceeded max depth of 10000" : sentence;
  return { error: `error converting YAML to JSON: yaml: ${words}` };
}

/** What is wrong with the keys of a document: keys given twice are told, keys that JSON has no place for are refused. */
function keysOf(document: Document, lines: LineCounter): { repeated: string | undefined; oddKey: string | undefined } {
  const repeated: string[] = [];
  let oddKey: string | undefined;
  visit(document, {
    Map(_, { items }) {
      const seen = new Set<unknown>();
      for (const { key } of items) {
        if (!isScalar(key)) {
          if (key !== null && !isAlias(key)) oddKey = "invalid map key: a map or a list";
          continue;
        }
        if (seen.has(key.value)) repeated.push(`  line ${lines.linePos(key.range?.[0] ?? 0).line}: key ${JSON.stringify(key.value)} already set in map`);
        seen.add(key.value);
      }
      return oddKey === undefined ? undefined : visit.BREAK;
    },
  });
  return { oddKey, repeated: repeated.length === 0 ? undefined : `error converting YAML to JSON: yaml: unmarshal errors:\n${repeated.join("\n")}` };
}

function jsonTags(tags: Tags): Tags {
  return tags.filter((tag) => typeof tag === "string" || (!DROPPED.has(tag.tag) && !("format" in tag && tag.format === "TIME")));
}
