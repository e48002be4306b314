// The parts of an audit event: whom it is about, what it is about, and what came of it.
import type { UserInfo } from "../request.ts";
import type { Target } from "../http/target.ts";

/** A user as events show one. */
export function userText(user: UserInfo | undefined): Record<string, unknown> {
  if (!user) return {};
  const { name, uid, groups, extra } = user;
  return { username: name, ...(uid && { uid }), groups, ...(extra && Object.keys(extra).length > 0 && { extra }) };
}

/** What a request is about; the object that is sent fills in what the URL does not say. */
export class ObjectReference {
  #namespace: string;
  #name: string;
  #uid: string | undefined;
  #resourceVersion: string | undefined;

  constructor(private readonly target: Extract<Target, { type: "resource" }>) {
    const { group, plural, namespace, name } = target;
    this.#namespace = group === "" && plural === "namespaces" ? name : namespace;
    this.#name = name;
  }

  complete(object: unknown): void {
    const metadata = (object as { metadata?: { namespace?: string; name?: string; uid?: string; resourceVersion?: string } } | null)?.metadata;
    if (typeof metadata !== "object" || metadata === null) return;
    this.#namespace ||= metadata.namespace ?? "";
    this.#name ||= metadata.name ?? "";
    this.#uid ??= metadata.uid;
    this.#resourceVersion ??= metadata.resourceVersion;
  }

  get fields(): Record<string, string> {
    const { plural, group, version, subresource } = this.target;
    const all = { resource: plural, namespace: this.#namespace, name: this.#name, uid: this.#uid, apiGroup: group, apiVersion: version, resourceVersion: this.#resourceVersion, subresource };
    return Object.fromEntries(Object.entries(all).filter((entry): entry is [string, string] => Boolean(entry[1])));
  }
}

/** Undefined for a path that is no resource. */
export function objectReference(target: Target): ObjectReference | undefined {
  return target.type === "resource" ? new ObjectReference(target) : undefined;
}

const STATUS_HEAD = /^\s*\{\s*"kind":\s*"Status"/;
const HEAD_BYTES = 64;

/** The reply in short: its code, and what a Status says. */
export function responseStatus(code: number, body?: Buffer): Record<string, unknown> {
  const plain = { metadata: {}, ...(code > 0 && { code }) };
  if (!body || !STATUS_HEAD.test(body.subarray(0, HEAD_BYTES).toString())) return plain;
  try {
    const { status, message, reason, details } = JSON.parse(body.toString()) as Record<string, unknown>;
    return { metadata: {}, ...(status !== undefined && { status }), ...(message !== undefined && { message }), ...(reason !== undefined && { reason }), ...(details !== undefined && { details }), code };
  } catch {
    return plain;
  }
}

interface WithMetadata {
  readonly metadata?: { readonly managedFields?: unknown };
  readonly items?: readonly unknown[];
}

/** An object, or every object of a list, without the record of who manages which field. */
export function withoutManagedFields(object: unknown): unknown {
  if (typeof object !== "object" || object === null || Array.isArray(object)) return object;
  const { metadata, items } = object as WithMetadata;
  return {
    ...object,
    ...(metadata?.managedFields !== undefined && { metadata: { ...metadata, managedFields: undefined } }),
    ...(Array.isArray(items) && { items: items.map(withoutManagedFields) }),
  };
}
