// What expressions of policies and match conditions see of a write: object, oldObject, request, params, namespaceObject, authorizer, variables.
// Reference: https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/#validation-expression
import type { Environment } from "@marcbachmann/cel-js";
import { builtinKind } from "../../../../api/registry.ts";
import type { AnyObject } from "../../../../api/types.ts";
import type { Attributes } from "../../admission/plugin.ts";
import { cacheOf, type Engine } from "../../engine.ts";
import { compile, type Program } from "../../../../api/cel/compile.ts";
import { newEnvironment } from "../../../../api/cel/environment.ts";
import { toCel } from "../../../../api/cel/values.ts";
import { reviewOf } from "../webhook/review.ts";
import { AuthorizerValue, declareAuthorizer } from "./authorizer.ts";
import { mapLiterals } from "./literals.ts";

const NAMESPACE = builtinKind("", "v1", "Namespace");
const NAMES = ["object", "oldObject", "request", "params", "namespaceObject", "variables"];
const MAX_REMEMBERED = 1_000;

export interface NamedExpression {
  readonly name: string;
  readonly expression: string;
}

export type Variables = Record<string, unknown>;

let environment: Environment | undefined;
const programs = new Map<string, Program>();

/** Compiles an expression of a policy; throws CompileError. */
export function policyProgram(source: string, wanted?: string): Program {
  const key = `${wanted ?? ""} ${source}`;
  let program = programs.get(key);
  if (!program) {
    program = compile((environment ??= policyEnvironment()), mapLiterals(source), wanted);
    if (programs.size >= MAX_REMEMBERED) programs.clear();
    programs.set(key, program);
  }
  return program;
}

/** What expressions are compiled in; objects are of any type unless `declare` makes one for them and says what it is called. */
export function policyEnvironment(declare?: (env: Environment) => string): Environment {
  const env = newEnvironment();
  const type = declare?.(env) ?? "dyn";
  for (const name of NAMES) env.registerVariable(name, name === "object" || name === "oldObject" ? type : "dyn");
  declareAuthorizer(env);
  return env;
}

/** What expressions see of one write; `variables` are evaluated when first asked for. */
export function variablesOf(engine: Engine, attributes: Attributes, { params, variables = [], authorizer }: { params?: AnyObject | undefined; variables?: readonly NamedExpression[]; authorizer?: AuthorizerValue | undefined } = {}): Variables {
  const { kind, object, oldObject, namespace } = attributes;
  const review = reviewOf(attributes, { versions: ["v1"], as: kind, uid: "" }) as AnyObject;
  const { object: _object, oldObject: _oldObject, uid: _uid, ...request } = review["request"] as Record<string, unknown>;
  const found = namespace === "" ? undefined : cacheOf(engine, NAMESPACE).get("", namespace)?.object;
  const seen: Variables = {
    object: toCel(object), oldObject: toCel(oldObject), request: toCel({ name: "", namespace: "", subResource: "", ...request }),
    params: toCel(params), namespaceObject: toCel(found), ...(authorizer && { authorizer, "authorizer.requestResource": authorizer }), variables: {},
  };
  seen["variables"] = lazily(seen, variables);
  return seen;
}

function lazily(seen: Variables, variables: readonly NamedExpression[]): Variables {
  const values: Variables = {};
  for (const { name, expression } of variables) {
    let known: { value: unknown } | undefined;
    Object.defineProperty(values, name, { enumerable: true, get: () => (known ??= { value: policyProgram(expression).evaluate(seen) }).value });
  }
  return values;
}

/** Whether every condition holds; one that is false settles it even where others cannot be told. Throws when that remains. */
export function conditionsHold(conditions: readonly NamedExpression[], seen: Variables): boolean {
  let failure: Error | undefined;
  for (const { expression } of conditions) {
    try {
      if (policyProgram(expression, "bool").evaluate(seen) !== true) return false;
    } catch (error) {
      failure ??= error as Error;
    }
  }
  if (failure) throw failure;
  return true;
}
