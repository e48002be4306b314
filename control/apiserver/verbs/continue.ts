// The token that says where the next page of a list starts, in the form upstream uses.
import { badRequest } from "../../../api/errors.ts";
import { jsonError } from "../http/jsonerror.ts";

/** `revision` is -1 in tokens that settle for whatever is there now. */
export interface Continuation {
  readonly revision: number;
  readonly after: { readonly namespace: string; readonly name: string };
}

/** Encodes a token; `namespaced` lists (of one namespace) leave the namespace out. */
export function encodeContinue({ revision, after }: Continuation, listNamespace: string | undefined): string {
  const path = listNamespace !== undefined || after.namespace === "" ? after.name : `${after.namespace}/${after.name}`;
  return Buffer.from(JSON.stringify({ v: "meta.k8s.io/v1", rv: revision, start: `${path}\u0000` })).toString("base64url");
}

/** Reads a token back; throws 400 when it is not one. */
export function decodeContinue(token: string, listNamespace: string | undefined): Continuation {
  const { v, rv, start } = parsed(token);
  if (v !== "meta.k8s.io/v1") throw badRequest(`continue key is not valid: server does not recognize this encoded version ${JSON.stringify(typeof v === "string" ? v : "")}`);
  if (typeof rv !== "number" || rv === 0 || typeof start !== "string" || start === "") throw badRequest("continue key is not valid: incorrect encoded start resourceVersion (version meta.k8s.io/v1)");
  const path = start.endsWith("\u0000") ? start.slice(0, -1) : start;
  const slash = path.indexOf("/");
  return { revision: rv, after: slash < 0 ? { namespace: listNamespace ?? "", name: path } : { namespace: path.slice(0, slash), name: path.slice(slash + 1) } };
}

function parsed(token: string): { v?: unknown; rv?: unknown; start?: unknown } {
  const wrongAt = token.search(/[^\w-]/);
  if (wrongAt >= 0 || token.length % 4 === 1) throw badRequest(`continue key is not valid: illegal base64 data at input byte ${wrongAt >= 0 ? wrongAt : token.length - 1}`);
  const text = Buffer.from(token, "base64url").toString();
  try {
    return (JSON.parse(text) ?? {}) as { v?: unknown };
  } catch (error) {
    throw badRequest(`continue key is not valid: ${jsonError(text) ?? (error as Error).message}`);
  }
}
