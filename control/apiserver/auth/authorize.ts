// May they: masters always, then what the Node authorizer and RBAC say; and the words of a refusal.
// Answers come from caches at once, so they cost about as much as the question.
import { ApiError, forbidden } from "../../../api/errors.ts";
import { parseFieldSelector } from "../../../api/selectors.ts";
import type { AccessRequest, Authorizer, Decision } from "./auth.ts";
import { MASTERS } from "./user.ts";

const MASTER: Decision = { allowed: true };

/** Asks each in turn: the first to allow or deny decides, reasons of the others are kept for the refusal. */
export class UnionAuthorizer implements Authorizer {
  constructor(private readonly authorizers: readonly Authorizer[]) {}

  authorize(asked: AccessRequest): Decision | Promise<Decision> {
    if (asked.user.groups.includes(MASTERS)) return MASTER;
    return this.#from(0, named(asked), []);
  }

  #from(index: number, request: AccessRequest, reasons: readonly string[]): Decision | Promise<Decision> {
    const authorizer = this.authorizers[index];
    if (!authorizer) return reasons.length === 0 ? { allowed: false } : { allowed: false, reason: reasons.join("\n") };
    const decision = authorizer.authorize(request);
    if (decision instanceof Promise) return decision.then((d) => this.#next(index, request, reasons, d));
    return this.#next(index, request, reasons, decision);
  }

  // The four are one step of a walk.
  #next(index: number, request: AccessRequest, reasons: readonly string[], decision: Decision): Decision | Promise<Decision> {
    if (decision.allowed || decision.denied) return decision;
    return this.#from(index + 1, request, decision.reason ? [...reasons, decision.reason] : reasons);
  }
}

/** A collection narrowed to one name by a field selector is a question about that name. */
function named(request: AccessRequest): AccessRequest {
  if (request.path !== undefined || request.name !== "" || !request.fieldSelector?.includes("metadata.name")) return request;
  try {
    const name = parseFieldSelector(request.fieldSelector).find((r) => r.field === "metadata.name" && r.operator === "=")?.value;
    return name ? { ...request, name } : request;
  } catch {
    return request;
  }
}

/** The 403 for a refused request, worded as upstream. */
export function forbiddenError(request: AccessRequest, reason: string | undefined): ApiError {
  const why = `${escapeHtml(sentence(request))}${reason ? `: ${reason}` : ""}`;
  // A path is no resource: upstream then writes an empty one.
  if (request.path !== undefined) return new ApiError(403, "Forbidden", `forbidden: ${why}`, {});
  return forbidden({ group: request.group, plural: request.resource }, request.name, why);
}

function sentence(request: AccessRequest): string {
  const who = `User ${JSON.stringify(request.user.name)} cannot ${request.verb}`;
  if (request.path !== undefined) return `${who} path ${JSON.stringify(request.path)}`;
  const resource = request.subresource === "" ? request.resource : `${request.resource}/${request.subresource}`;
  const what = `${who} resource ${JSON.stringify(resource)} in API group ${JSON.stringify(request.group)}`;
  return request.namespace === "" ? `${what} at the cluster scope` : `${what} in the namespace ${JSON.stringify(request.namespace)}`;
}

/** Messages that look like markup are made harmless, as upstream does. */
function escapeHtml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
