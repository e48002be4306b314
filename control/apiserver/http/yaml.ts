// YAML as Go's library reads and writes it: version 1.1, without the types JSON has no place for.
import { parse, stringify, YAMLParseError, type Tags } from "yaml";

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
  return parse(text, { version: "1.1", merge: true, maxAliasCount: 100, customTags: jsonTags }) as unknown;
}

/** Writes a document; words that older readers take for booleans are quoted. */
export function yamlText(value: unknown): string {
  return stringify(value, { version: "1.1", aliasDuplicateObjects: false });
}

function jsonTags(tags: Tags): Tags {
  return tags.filter((tag) => typeof tag === "string" || (!DROPPED.has(tag.tag) && !("format" in tag && tag.format === "TIME")));
}
