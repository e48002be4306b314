// Bootstrap tokens: `<id>.<secret>`, kept as Secrets in kube-system, good for joining and little else.
// Rules: k8s.io/kubernetes/plugin/pkg/auth/authenticator/token/bootstrap.
import { timingSafeEqual } from "node:crypto";
import type { Clock } from "../../../lib/clock.ts";
import type { UserInfo } from "../request.ts";
import type { Lookup } from "./lookup.ts";

const FORM = /^([a-z0-9]{6})\.([a-z0-9]{16})$/;
const GROUP = /^system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]$/;

/** The user of a bootstrap token; undefined for anything that is not one, is expired, or not meant for authentication. */
export function bootstrapTokenUser(token: string, lookup: Lookup, clock: Clock): UserInfo | undefined {
  const match = FORM.exec(token);
  if (!match) return undefined;
  const [, id = "", secretText = ""] = match;
  const secret = lookup.secret("kube-system", `bootstrap-token-${id}`);
  if (!secret || secret.type !== "bootstrap.kubernetes.io/token" || secret.metadata.deletionTimestamp !== undefined) return undefined;
  const field = (name: string): string => Buffer.from(secret.data?.[name] ?? "", "base64").toString();
  if (field("token-id") !== id || !isEqual(field("token-secret"), secretText)) return undefined;
  if (field("usage-bootstrap-authentication") !== "true" || isExpired(field("expiration"), clock.now())) return undefined;
  const extraGroups = field("auth-extra-groups").split(",").map((g) => g.trim()).filter((g) => g !== "");
  if (!extraGroups.every((group) => GROUP.test(group))) return undefined;
  return { name: `system:bootstrap:${id}`, groups: [...new Set(["system:bootstrappers", ...extraGroups])] };
}

/** An expiration that cannot be read counts as past. */
function isExpired(expiration: string, now: number): boolean {
  if (expiration === "") return false;
  const at = Date.parse(expiration);
  return Number.isNaN(at) || at <= now;
}

function isEqual(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}
