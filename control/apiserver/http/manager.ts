// Under which name a request's changes are recorded: what the client asks for, or the program it is.
import { field, invalid } from "../../../api/errors.ts";

const MAX_REMEMBERED = 256;
const LONGEST_REMEMBERED = 512;
const remembered = new Map<string, string>();

/** Throws 422 for a `?fieldManager=` that is no name. */
export function requireManager(manager: string): void {
  const gk = { group: "meta.k8s.io", kind: "CreateOptions" };
  if (manager.length > 128) throw invalid(gk, "", [field.tooLong("fieldManager", 128)]);
  if (/[^\p{L}\p{M}\p{N}\p{P}\p{S} ]/u.test(manager)) throw invalid(gk, "", [field.invalid("fieldManager", manager, "should only contain printable characters")]);
}

/** The manager where the client names none; nearly all requests come from few programs. */
export function managerOf(agent: string): string {
  let manager = remembered.get(agent);
  if (manager !== undefined) return manager;
  manager = programOf(agent);
  if (agent.length > LONGEST_REMEMBERED) return manager;
  if (remembered.size >= MAX_REMEMBERED) remembered.clear();
  remembered.set(agent, manager);
  return manager;
}

/** What comes before the slash in the User-Agent. */
function programOf(agent: string): string {
  return agent.split("/", 1)[0]?.replace(/[^\x20-\x7e]/g, "").slice(0, 128) || "unknown";
}
