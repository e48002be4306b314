// Regular expressions as Go reads them, for patterns that users of the API write.
// The engine is RE2's: no pattern, however malicious, takes more than linear time.
import { RE2JS } from "re2js";

const compiled = new Map<string, RE2JS>();
/** Patterns kept compiled; more than any cluster's definitions and policies hold. */
const MOST_COMPILED = 2_000;

/** The pattern compiled, from memory where it was seen before. Throws Error in Go's words, `error parsing regexp: ...`. */
export function goRegExp(source: string): RE2JS {
  let pattern = compiled.get(source);
  if (pattern) return pattern;
  pattern = RE2JS.compile(source);
  if (compiled.size >= MOST_COMPILED) compiled.clear();
  compiled.set(source, pattern);
  return pattern;
}

/** Up to `most` non-overlapping matches, in order. */
export function findAll(source: string, text: string, most = Number.POSITIVE_INFINITY): string[] {
  const found: string[] = [];
  const matcher = goRegExp(source).matcher(text);
  while (found.length < most && matcher.find()) found.push(matcher.group() ?? "");
  return found;
}
