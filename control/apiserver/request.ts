// What one API request asks for, as every stage of the handler chain sees it.
// Parsed once from method and path by the transport; in-process callers build it themselves.
import type { KindInfo } from "../../api/kinds.ts";

/** Who is asking, as authenticated. */
export interface UserInfo {
  readonly name: string;
  readonly uid?: string;
  readonly groups: readonly string[];
  readonly extra?: Readonly<Record<string, readonly string[]>>;
}

/** The verb as RBAC names it; non-resource requests use the lower-case HTTP method. */
export type RequestVerb = "get" | "list" | "watch" | "create" | "update" | "patch" | "delete" | "deletecollection" | (string & {});

/** One resource request; `name` is empty for collections. */
export interface ResourceRequest {
  readonly verb: RequestVerb;
  readonly kind: KindInfo;
  readonly namespace: string;
  readonly name: string;
  readonly subresource: string;
  readonly user: UserInfo;
  readonly dryRun: boolean;
  /** The manager field changes are recorded under. */
  readonly fieldManager: string;
  /** Warnings to send back as `Warning` headers; stages append. */
  readonly warnings: string[];
  /** What plugins note for the audit log, where there is one. */
  readonly auditAnnotations?: Map<string, string> | undefined;
}
