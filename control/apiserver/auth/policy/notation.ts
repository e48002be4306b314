// The notation default roles are written in: `<verbs> <groups> <resources> [= <names>]`, or `<verbs> url <paths>`.
// Verbs and groups are joined by commas; `read`, `write` and `all` stand for the usual verbs, `core` for the group without a name.
import type { PolicyRule } from "../../../../api/types.ts";

const SHORT: Readonly<Record<string, readonly string[]>> = {
  read: ["get", "list", "watch"],
  write: ["create", "delete", "deletecollection", "patch", "update"],
  all: ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
};

/** What everybody who records events needs. */
export const EVENTS = "create,patch,update core,events.k8s.io events";

/** The rule a line stands for. */
export function ruleOf(line: string): PolicyRule {
  const [verbText = "", groupText = "", ...rest] = line.split(" ");
  const verbs = [...(SHORT[verbText] ?? verbText.split(","))];
  if (groupText === "url") return { verbs, nonResourceURLs: rest };
  const equals = rest.indexOf("=");
  const resources = equals < 0 ? rest : rest.slice(0, equals);
  const names = equals < 0 ? [] : rest.slice(equals + 1);
  const apiGroups = groupText.split(",").map((group) => (group === "core" ? "" : group));
  return { apiGroups, resources, ...(names.length > 0 && { resourceNames: names }), verbs };
}
