// May they: masters always, then what the Node authorizer and RBAC say.
// Answers come from caches at once, so they cost about as much as the question.
import { parseFieldSelector } from "../../../api/selectors.ts";
import type { AccessRequest, Authorizer, Decision } from "./auth.ts";
import type { SyncGate } from "./ready.ts";
import { MASTERS } from "./user.ts";

const MASTER: Decision = { allowed: true };

/** Asks each in turn: the first to allow or deny decides, reasons of the others are kept for the refusal. */
export class UnionAuthorizer implements Authorizer {
  /** Questions wait while the gate is closed; the answers of masters never do. */
  constructor(private readonly authorizers: readonly Authorizer[], private readonly gate?: SyncGate) {}

  authorize(asked: AccessRequest): Decision | Promise<Decision> {
    if (asked.user.groups.includes(MASTERS)) return MASTER;
    if (this.gate && !this.gate.isOpen) return this.gate.wait().then(() => this.#from(0, named(asked), []));
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
