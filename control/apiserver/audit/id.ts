// The id every request goes by, in the audit log and in the `Audit-ID` header of its reply.
import { randomUUID } from "node:crypto";
import type { Request } from "../http/exchange.ts";

const PRINTABLE = /^[ -~]+$/;
/** Ids must differ, not be secret: only their beginning is random, once a process. */
const PREFIX = randomUUID().slice(0, 24);
const DIGITS = 12;
let last = 0;

/** The client's own id as it is, or a new one in the form of a UUID. */
export function auditIdOf({ headers }: Request): string {
  const given = headers["audit-id"];
  return typeof given === "string" && PRINTABLE.test(given) ? given : PREFIX + (++last).toString(16).padStart(DIGITS, "0");
}
