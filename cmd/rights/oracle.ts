// RBAC read off its documentation, as slowly and plainly as can be: what tests hold the authorizer against.
// It shares no code with the product.
import type { PolicyRule } from "../../api/types.ts";
import type { Question } from "./testing.ts";

/** What somebody was given: everywhere, or in one namespace. */
export interface Grant {
  readonly namespace?: string;
  readonly rules: readonly PolicyRule[];
}

/** What every service account has without being given anything. */
export const EVERY_ACCOUNT: Grant = {
  rules: [
    { verbs: ["create"], apiGroups: ["authentication.k8s.io"], resources: ["selfsubjectreviews"] },
    { verbs: ["create"], apiGroups: ["authorization.k8s.io"], resources: ["selfsubjectaccessreviews", "selfsubjectrulesreviews"] },
    { verbs: ["get"], nonResourceURLs: ["/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi", "/openapi/*", "/readyz", "/version", "/version/"] },
    { verbs: ["get"], nonResourceURLs: ["/.well-known/openid-configuration", "/.well-known/openid-configuration/", "/openid/v1/jwks", "/openid/v1/jwks/"] },
  ],
};

/** Whether the grants allow a question about a resource. */
export function mayAsk(grants: readonly Grant[], question: Question): boolean {
  for (const { namespace, rules } of grants) {
    if (namespace !== undefined && namespace !== question.namespace) continue;
    for (const rule of rules) {
      for (const verb of rule.verbs) for (const group of rule.apiGroups ?? []) for (const resource of rule.resources ?? []) {
        if (!(verb === "*" || verb === question.verb) || !(group === "*" || group === question.group)) continue;
        const wanted = question.subresource ? `${question.resource}/${question.subresource}` : question.resource;
        const isResource = resource === "*" || resource === wanted || (question.subresource !== "" && resource === `*/${question.subresource}`);
        if (!isResource) continue;
        if ((rule.resourceNames ?? []).length === 0) return true;
        for (const name of rule.resourceNames ?? []) if (name === question.name) return true;
      }
    }
  }
  return false;
}

/** Whether the grants allow a method on a path that is no resource; rules about paths count only when given everywhere. */
export function mayVisit(grants: readonly Grant[], method: string, path: string): boolean {
  return grants.filter(({ namespace }) => namespace === undefined).flatMap(({ rules }) => rules).some((rule) =>
    rule.verbs.some((verb) => verb === "*" || verb === method.toLowerCase()) && (rule.nonResourceURLs ?? []).some((url) => url === "*" || url === path || (url.endsWith("*") && path.startsWith(url.slice(0, -1)))));
}
