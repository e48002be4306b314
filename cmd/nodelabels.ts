// `--node-labels`: what a node registers with beside its own labels.
import { UsageError, type Values } from "./flags.ts";

/** Throws UsageError for what is no list of labels. */
export function labelsOf(values: Values): Record<string, string> {
  const pairs = (values["node-labels"] ?? "").split(",").filter(Boolean).map((pair) => pair.split("=") as [string, string | undefined]);
  for (const [key, value] of pairs) if (!key || value === undefined) throw new UsageError(`--node-labels ${values["node-labels"]}: must be key=value pairs separated by commas`);
  return Object.fromEntries(pairs) as Record<string, string>;
}
