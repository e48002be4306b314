// POST serviceaccounts/<name>/token: a new token for a service account, bound to what the request names.
// Checks and messages: k8s.io/kubernetes/pkg/registry/core/serviceaccount/storage.
import { badRequest, conflict, field, invalid, notFound } from "../../../api/errors.ts";
import { builtinKind } from "../../../api/registry.ts";
import type { AnyObject, KubeObject, Pod, ServiceAccount, Stored, TokenRequest } from "../../../api/types.ts";
import { timestamp, type Clock } from "../../../lib/clock.ts";
import type { ResourceRequest } from "../request.ts";
import type { Lookup } from "./lookup.ts";
import type { ReviewHandler } from "./reviews.ts";
import type { ServiceAccountTokens, TokenWish } from "./serviceaccount.ts";

const KIND = { group: "authentication.k8s.io", kind: "TokenRequest" };
const DEFAULT_SECONDS = 3_600;
const MIN_SECONDS = 600;
const MAX_SECONDS = 2 ** 32;
/** What kubelets ask for where old clients do not reload tokens: such a token lives a year and warns after this. */
const WARN_ONLY_SECONDS = 3_607;
const EXTENDED_SECONDS = 365 * 24 * 3_600;
const RESOURCES = { Pod: builtinKind("", "v1", "Pod"), Secret: builtinKind("", "v1", "Secret"), Node: builtinKind("", "v1", "Node"), ServiceAccount: builtinKind("", "v1", "ServiceAccount") };

export interface TokenRequestOptions {
  readonly tokens: ServiceAccountTokens;
  readonly lookup: Lookup;
  readonly clock: Clock;
}

/** Answers token requests. */
export function tokenRequestHandler(options: TokenRequestOptions): ReviewHandler {
  return ({ namespace, name }: ResourceRequest, body: AnyObject): CompletedRequest => {
    const account = options.lookup.serviceAccount(namespace, name);
    if (!account) throw notFound(RESOURCES.ServiceAccount, name);
    const request = completed(body as TokenRequest, account, options);
    const { expirationSeconds, audiences } = request.spec;
    const bound = boundTo(options.lookup, request.spec.boundObjectRef, account);
    const isExtended = bound.pod !== undefined && expirationSeconds === WARN_ONLY_SECONDS && audiences.every((a) => options.tokens.audiences.includes(a));
    const token = options.tokens.issue({
      account, audiences, ...bound,
      lifetimeSeconds: isExtended ? EXTENDED_SECONDS : expirationSeconds,
      warnAfterSeconds: isExtended ? expirationSeconds : undefined,
    });
    return { ...request, status: { token, expirationTimestamp: timestamp(options.clock.now() + expirationSeconds * 1000) } };
  };
}

type Reference = { kind?: string | undefined; name?: string | undefined; apiVersion?: string | undefined; uid?: string | undefined };
type CompletedRequest = TokenRequest & { spec: { audiences: string[]; expirationSeconds: number; boundObjectRef?: Reference } };

/** The request with what it left out; throws when it contradicts its URL or asks for too little or too much time. */
function completed(request: TokenRequest, account: Stored<ServiceAccount>, { tokens, clock }: TokenRequestOptions): CompletedRequest {
  const { metadata = {} } = request as { metadata?: TokenRequest["metadata"] };
  const { name, namespace = "", uid } = account.metadata;
  if (metadata.name && metadata.name !== name) throw invalid(KIND, name, [field.invalid("metadata.name", metadata.name, "must match the service account name if specified")]);
  if (metadata.namespace && metadata.namespace !== namespace) throw invalid(KIND, name, [field.invalid("metadata.namespace", metadata.namespace, "must match the service account namespace if specified")]);
  if (metadata.uid && metadata.uid !== uid) throw conflict({ group: KIND.group, plural: KIND.kind }, name, `the UID in the token request (${metadata.uid}) does not match the UID of the service account (${uid})`);
  const { audiences = [], expirationSeconds = DEFAULT_SECONDS, boundObjectRef } = request.spec ?? {};
  if (expirationSeconds < MIN_SECONDS) throw invalid(KIND, "", [field.invalid("spec.expirationSeconds", expirationSeconds, "may not specify a duration less than 10 minutes")]);
  if (expirationSeconds > MAX_SECONDS) throw invalid(KIND, "", [field.invalid("spec.expirationSeconds", expirationSeconds, "may not specify a duration larger than 2^32 seconds")]);
  return {
    apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest",
    metadata: { ...metadata, name, namespace, uid, creationTimestamp: timestamp(clock.now()) },
    spec: { audiences: audiences.length > 0 ? audiences : [...tokens.audiences], expirationSeconds, ...(boundObjectRef && { boundObjectRef }) },
  };
}

function boundTo(lookup: Lookup, ref: Reference | undefined, account: Stored<ServiceAccount>): Pick<TokenWish, "pod" | "secret" | "node"> {
  if (!ref) return {};
  const { kind = "", name = "", apiVersion = "" } = ref;
  const namespace = account.metadata.namespace ?? "";
  const isCore = apiVersion === "v1" || apiVersion === "";
  if (isCore && kind === "Pod") {
    const pod = required(lookup.pod(namespace, name), kind, ref);
    const { serviceAccountName } = pod.spec ?? {};
    if (serviceAccountName !== account.metadata.name) throw badRequest(`cannot bind token for serviceaccount ${JSON.stringify(account.metadata.name)} to pod running with different serviceaccount name.`);
    return { pod, node: nodeOf(lookup, pod) };
  }
  if (isCore && kind === "Secret") return { secret: required(lookup.secret(namespace, name), kind, ref) };
  if (isCore && kind === "Node") {
    const node = required(lookup.node(name), kind, ref);
    return { node: { name: node.metadata.name, uid: node.metadata.uid } };
  }
  const slash = apiVersion.indexOf("/");
  throw badRequest(`cannot bind token to object of type ${slash < 0 ? `/${apiVersion}` : apiVersion}, Kind=${kind}`);
}

/** A pod's token also says where the pod runs; the name alone when that node is not known. */
function nodeOf(lookup: Lookup, pod: Stored<Pod>): TokenWish["node"] {
  const name = pod.spec?.nodeName;
  return name ? { name, uid: lookup.node(name)?.metadata.uid ?? "" } : undefined;
}

function required<T extends Stored<KubeObject>>(object: T | undefined, kind: keyof typeof RESOURCES, ref: Reference): T {
  const { name = "", uid } = ref;
  if (!object) throw notFound(RESOURCES[kind], name);
  if (uid && uid !== object.metadata.uid) {
    throw conflict({ group: "", plural: kind }, name, `the UID in the bound object reference (${uid}) does not match the UID in record. The object might have been deleted and then recreated`);
  }
  return object;
}
