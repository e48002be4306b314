// Who may call the node's API, in Kubernetes' terms: each path is a subresource of this node's `nodes` object.
// Checking the credential and asking for a decision is injected; `delegated.ts` asks the API server.

/** What a request offers as proof. */
export interface NodeCredentials {
  /** DER of the client certificate; TLS has checked that the peer holds its key, nothing else. */
  readonly peerCertificate: Uint8Array | undefined;
  readonly bearerToken: string | undefined;
}

export interface NodeUser {
  readonly name: string;
  readonly uid?: string;
  readonly groups: readonly string[];
  readonly extra?: Readonly<Record<string, readonly string[]>>;
}

/** One question: may the user do `verb` on `nodes/<subresource>` of this node. */
export interface NodeAccess {
  readonly user: NodeUser;
  readonly verb: string;
  readonly subresource: string;
  readonly path: string;
}

/** Answers both questions; rejects when it cannot. */
export interface NodeAuthority {
  /** undefined when nothing vouches for the credentials. */
  authenticate(credentials: NodeCredentials): Promise<NodeUser | undefined>;
  isAllowed(access: NodeAccess): Promise<boolean>;
}

/** Why a request goes no further; `message` is the response's body. */
export class AccessDenied extends Error {
  override readonly name = "AccessDenied";
  constructor(readonly code: 401 | 403 | 500, message: string) {
    super(message);
  }
}

const VERBS: Readonly<Record<string, string>> = { POST: "create", GET: "get", PUT: "update", PATCH: "patch", DELETE: "delete" };

/** Paths with a subresource of their own, most specific right first; all others are `proxy` (upstream's kubelet server auth). */
const FINE_GRAINED = [["/pods", "pods"], ["/healthz", "healthz"], ["/configz", "configz"], ["/runningpods", "pods"]] as const;
const SUBRESOURCES = [["/stats", "stats"], ["/metrics", "metrics"], ["/logs", "log"], ["/checkpoint", "checkpoint"], ["/statusz", "statusz"], ["/flagz", "configz"]] as const;

/** The API verb of a method. */
export function verbOf(method: string): string {
  return VERBS[method] ?? "";
}

/** Subresources of which any one right is enough. */
export function subresourcesOf(path: string): string[] {
  const within = ([prefix]: readonly [string, string]): boolean => path === prefix || path.startsWith(`${prefix}/`);
  const fine = FINE_GRAINED.find(within);
  return [...(fine ? [fine[1]] : []), SUBRESOURCES.find(within)?.[1] ?? "proxy"];
}

/** Resolves with the user; rejects with AccessDenied. */
export async function admit(authority: NodeAuthority, request: { readonly credentials: NodeCredentials; readonly method: string; readonly path: string }): Promise<NodeUser> {
  const user = await authority.authenticate(request.credentials).catch(() => undefined);
  if (!user) throw new AccessDenied(401, "Unauthorized");
  const verb = verbOf(request.method);
  const subresources = subresourcesOf(request.path);
  for (const subresource of subresources) {
    let allowed: boolean;
    try {
      allowed = await authority.isAllowed({ user, verb, subresource, path: request.path });
    } catch {
      throw new AccessDenied(500, `Authorization error (user=${user.name}, verb=${verb}, resource=nodes, subresource=${subresource})`);
    }
    if (allowed) return user;
  }
  throw new AccessDenied(403, `Forbidden (user=${user.name}, verb=${verb}, resource=nodes, subresource(s)=[${subresources.join(" ")}])\n`);
}
