// `authorizer` in expressions: asks the authorizer of this API server whether the caller may do something.
import type { Environment } from "@marcbachmann/cel-js";
import type { Authorizer } from "../../auth/auth.ts";
import type { UserInfo } from "../../request.ts";

interface Question {
  readonly group: string;
  readonly resource: string;
  readonly subresource: string;
  readonly namespace: string;
  readonly name: string;
  readonly path: string;
}

const NOTHING: Question = { group: "", resource: "", subresource: "", namespace: "", name: "", path: "" };

/** The caller, and the question being put together. */
export class AuthorizerValue {
  constructor(readonly authorizer: Authorizer, readonly user: UserInfo, readonly question: Question = NOTHING) {}

  with(part: Partial<Question>): AuthorizerValue {
    return new AuthorizerValue(this.authorizer, this.user, { ...this.question, ...part });
  }
}

class Decision {
  constructor(readonly isAllowed: boolean, readonly reason: string) {}
}

/** Declares the variable and what may be asked of it. */
export function declareAuthorizer(env: Environment): void {
  const type = "kubernetes.authorization.Authorizer";
  env.registerType(type, { ctor: AuthorizerValue });
  env.registerType("kubernetes.authorization.Decision", { ctor: Decision });
  env.registerVariable("authorizer", type);
  for (const part of ["group", "resource", "subresource", "namespace", "name", "path"] as const) env.registerFunction(`${type}.${part}(string): ${type}`, (asked: AuthorizerValue, value: string) => asked.with({ [part]: value }));
  env.registerFunction(`${type}.check(string): kubernetes.authorization.Decision`, check);
  env.registerFunction("kubernetes.authorization.Decision.allowed(): bool", ({ isAllowed }: Decision) => isAllowed);
  env.registerFunction("kubernetes.authorization.Decision.reason(): string", ({ reason }: Decision) => reason);
}

function check({ authorizer, user, question }: AuthorizerValue, verb: string): Decision {
  const { path, group, resource, subresource, namespace, name } = question;
  const decision = authorizer.authorize(path === "" ? { user, verb, group, version: "*", resource, subresource, namespace, name } : { user, verb, path });
  if (decision instanceof Promise) throw new Error("the authorizer needs time, which expressions have none of");
  return new Decision(decision.allowed, decision.reason ?? "");
}
