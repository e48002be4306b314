// YAML as Go's library reads and writes it: version 1.1, without the types JSON has no place for.
import { LineCounter, isScalar, parse, parseDocument, stringify, visit, YAMLParseError, type Tags } from "yaml";

export { YAMLParseError };

/** Dates stay strings, and `12:30` is no number. */
const DROPPED = new Set(["tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:binary", "tag:yaml.org,2002:omap", "tag:yaml.org,2002:pairs", "tag:yaml.org,2002:set"]);

/** Reads one document; JSON is YAML too and read faster. Throws YAMLParseError. */
export function parseYaml(text: string): unknown {
  if (text.startsWith("{")) {
    try {
      return JSON.parse(text) as unknown;
    } catch {
      // Flow style that is not JSON.
    }
  }
  return parse(text, { version: "1.1", merge: true, maxAliasCount: 100, uniqueKeys: false, customTags: jsonTags }) as unknown;
}

/** What upstream says of keys that stand twice in one map; undefined when there are none. */
export function repeatedKeys(text: string): string | undefined {
  const lines = new LineCounter();
  const repeated: string[] = [];
  visit(parseDocument(text, { version: "1.1", uniqueKeys: false, lineCounter: lines }), {
    Map(_, { items }) {
      const seen = new Set<unknown>();
      for (const { key } of items) {
        if (!isScalar(key)) continue;
        if (seen.has(key.value)) repeated.push(`  line ${lines.linePos(key.range?.[0] ?? 0).line}: key ${JSON.stringify(key.value)} already set in map`);
        seen.add(key.value);
      }
    },
  });
  return repeated.length === 0 ? undefined : `error converting YAML to JSON: yaml: unmarshal errors:\n${repeated.join("\n")}`;
}

/** Writes a document; words that older readers take for booleans are quoted. */
export function yamlText(value: unknown): string {
  return stringify(value, { version: "1.1", aliasDuplicateObjects: false });
}

function jsonTags(tags: Tags): Tags {
  return tags.filter((tag) => typeof tag === "string" || (!DROPPED.has(tag.tag) && !("format" in tag && tag.format === "TIME")));
}
