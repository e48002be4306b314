// The reviews: answers about who somebody is and what somebody may do, given as objects that are never stored.
// Each is a handler for a POST on its collection; validation messages are upstream's.
import { badRequest, field, invalid, type FieldError } from "../../../api/errors.ts";
import type { AnyObject, SelfSubjectRulesReview, SubjectAccessReview, TokenReview } from "../../../api/types.ts";
import type { ResourceRequest, UserInfo } from "../request.ts";
import type { AccessRequest, Authorizer } from "./auth.ts";
import type { TokenAuthenticator } from "./authenticate.ts";
import type { RbacAuthorizer } from "./rbac.ts";
import { authenticated, nodeOf } from "./user.ts";

/** Answers one POST that is not stored. */
export type ReviewHandler = (request: ResourceRequest, body: AnyObject) => Promise<unknown> | unknown;

export interface ReviewOptions {
  readonly tokens: TokenAuthenticator;
  readonly audiences: readonly string[];
  readonly authorizer: Authorizer;
  readonly rbac: RbacAuthorizer;
}

/** The handlers, by plural. */
export function reviewHandlers(options: ReviewOptions): Readonly<Record<string, ReviewHandler>> {
  const { authorizer } = options;
  return {
    tokenreviews: (_request, body) => reviewToken(options, body as TokenReview),
    selfsubjectreviews: ({ user }, body) => ({ ...body, status: { userInfo: userInfoOf(user) } }),
    subjectaccessreviews: (_request, body) => reviewAccess(authorizer, checked(body as SubjectAccessReview)),
    localsubjectaccessreviews: ({ namespace }, body) => reviewAccess(authorizer, checkedLocal(body as SubjectAccessReview, namespace)),
    selfsubjectaccessreviews: ({ user }, body) => reviewOwnAccess(authorizer, user, body as SubjectAccessReview),
    selfsubjectrulesreviews: ({ user }, body) => reviewRules(options.rbac, user, body as SelfSubjectRulesReview),
  };
}

/** A user as `status.user` of reviews shows it. */
function userInfoOf(user: UserInfo): object {
  return { username: user.name, ...(user.uid && { uid: user.uid }), groups: user.groups, ...(user.extra && { extra: user.extra }) };
}

async function reviewToken({ tokens, audiences }: ReviewOptions, review: TokenReview): Promise<unknown> {
  const { token = "", audiences: wanted = [] } = review.spec ?? {};
  if (token === "") throw badRequest("token is required for TokenReview in authentication");
  try {
    const found = await tokens.authenticate(token, wanted.length > 0 ? wanted : audiences);
    if (!found) return { ...review, status: { user: {}, error: "[invalid bearer token, unknown]" } };
    return { ...review, status: { authenticated: true, user: userInfoOf(authenticated(found.user)), audiences: found.audiences } };
  } catch (error) {
    return { ...review, status: { user: {}, error: `[invalid bearer token, ${(error as Error).message}]` } };
  }
}

async function reviewAccess(authorizer: Authorizer, review: SubjectAccessReview): Promise<unknown> {
  const { user = "", groups = [], extra, uid } = review.spec;
  return answer(authorizer, review, { name: user, groups, ...(uid && { uid }), ...(extra && { extra }) });
}

async function reviewOwnAccess(authorizer: Authorizer, user: UserInfo, review: SubjectAccessReview): Promise<unknown> {
  const errors = attributeErrors(review);
  if (errors.length > 0) throw invalid({ group: "authorization.k8s.io", kind: "SelfSubjectAccessReview" }, "", errors);
  return answer(authorizer, review, user);
}

async function answer(authorizer: Authorizer, review: SubjectAccessReview, user: UserInfo): Promise<unknown> {
  const { allowed, denied, reason } = await authorizer.authorize(accessRequestOf(review, user));
  return { ...review, status: { allowed, ...(denied && { denied }), ...(reason && { reason }) } };
}

function accessRequestOf({ spec }: SubjectAccessReview, user: UserInfo): AccessRequest {
  const { resourceAttributes, nonResourceAttributes } = spec;
  if (!resourceAttributes) return { user, verb: nonResourceAttributes?.verb ?? "", path: nonResourceAttributes?.path ?? "" };
  const { verb = "", group = "", version = "", resource = "", subresource = "", namespace = "", name = "" } = resourceAttributes;
  const fieldSelector = selectorText(resourceAttributes.fieldSelector);
  return { user, verb, group, version, resource, subresource, namespace, name, ...(fieldSelector && { fieldSelector }) };
}

interface SelectorAttributes {
  readonly rawSelector?: string | undefined;
  readonly requirements?: readonly { readonly key: string; readonly operator: string; readonly values?: readonly string[] | undefined }[] | undefined;
}

/** Requirements that field selectors can express; others narrow a question no rule asks. */
function selectorText(attributes: SelectorAttributes | undefined): string {
  if (attributes?.rawSelector) return attributes.rawSelector;
  return (attributes?.requirements ?? []).filter((r) => r.operator === "In" && r.values?.length === 1).map((r) => `${r.key}=${r.values?.[0]}`).join(",");
}

function attributeErrors({ spec }: SubjectAccessReview): FieldError[] {
  if ((spec.resourceAttributes === undefined) !== (spec.nonResourceAttributes === undefined)) return [];
  const both = spec.resourceAttributes !== undefined;
  return both
    ? [field.invalid("spec.nonResourceAttributes", spec.nonResourceAttributes, "cannot be specified in combination with resourceAttributes")]
    : [field.invalid("spec.resourceAttributes", undefined, "exactly one of nonResourceAttributes or resourceAttributes must be specified")];
}

function checked(review: SubjectAccessReview, kind = "SubjectAccessReview"): SubjectAccessReview {
  const errors = attributeErrors(review);
  if (!review.spec.user && !review.spec.groups?.length) errors.push(field.invalid("spec.user", review.spec.user ?? "", "at least one of user or group must be specified"));
  if (errors.length > 0) throw invalid({ group: "authorization.k8s.io", kind }, "", errors);
  return review;
}

function checkedLocal(review: SubjectAccessReview, namespace: string): SubjectAccessReview {
  checked(review, "LocalSubjectAccessReview");
  const { resourceAttributes, nonResourceAttributes } = review.spec;
  const errors: FieldError[] = [];
  if (resourceAttributes && resourceAttributes.namespace !== namespace) errors.push(field.invalid("spec.resourceAttributes.namespace", resourceAttributes.namespace ?? "", "must match metadata.namespace"));
  if (nonResourceAttributes) errors.push(field.invalid("spec.nonResourceAttributes", nonResourceAttributes, "disallowed on this kind of request"));
  if (errors.length > 0) throw invalid({ group: "authorization.k8s.io", kind: "LocalSubjectAccessReview" }, "", errors);
  return review;
}

function reviewRules(rbac: RbacAuthorizer, user: UserInfo, review: SelfSubjectRulesReview): unknown {
  const { namespace = "" } = review.spec;
  if (namespace === "") throw badRequest("no namespace on request");
  const { grants, errors } = rbac.rightsOf(user, namespace);
  const rules = grants.flatMap((g) => g.rules);
  const isNode = nodeOf(user) !== undefined;
  const problems = [...(isNode ? ["node authorizer does not support user rule resolution"] : []), ...errors];
  return {
    ...review,
    status: {
      resourceRules: rules.filter((r) => r.resources?.length).map(({ verbs, apiGroups = [], resources = [], resourceNames }) => ({ verbs, apiGroups, resources, ...(resourceNames?.length && { resourceNames }) })),
      nonResourceRules: rules.filter((r) => r.nonResourceURLs?.length).map(({ verbs, nonResourceURLs }) => ({ verbs, nonResourceURLs })),
      incomplete: isNode,
      ...(problems.length > 0 && { evaluationError: problems.join(", ") }),
    },
  };
}
