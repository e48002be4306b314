// The rules of a schema (`x-kubernetes-validations`): compiled once per definition, told on every write.
// Order and wording: apiextensions-apiserver/pkg/apiserver/schema/cel/validation.go.
import type { Environment } from "@marcbachmann/cel-js";
import { field, type FieldError } from "../../../../api/errors.ts";
import type { AnyObject } from "../../../../api/types.ts";
import { compile, CompileError, mentions, type Program } from "../../../../api/cel/compile.ts";
import { actualCost, CALL_LIMIT, ESTIMATE_LIMIT, estimatedCost, maxSize } from "../../../../api/cel/cost.ts";
import { newEnvironment } from "../../../../api/cel/environment.ts";
import { declareType, toCel, withObjectFields } from "../../../../api/cel/values.ts";
import { equalJson } from "../../json.ts";
import type { JsonSchema, ValidationRule } from "./schema.ts";
import { oldItem } from "./values.ts";

export interface Rules {
  /** What the rules say of an object; `old` is what an update replaces. */
  check(object: AnyObject, old?: AnyObject): FieldError[];
}

export const NO_RULES: Rules = { check: () => [] };

interface CompiledRule {
  readonly rule: ValidationRule;
  readonly program: Program;
  readonly message: Program | undefined;
  readonly usesOld: boolean;
}

/** One place of a schema with rules at it or below it. */
interface RuleNode {
  readonly schema: JsonSchema;
  readonly rules: readonly CompiledRule[];
  readonly fields: ReadonlyMap<string, RuleNode>;
  /** Items of a list, values of a map. */
  readonly items: RuleNode | undefined;
}

/** Compiles all rules of a schema; those that do not compile, which validation refused, are left out. */
export function compileRules(schema: JsonSchema | undefined): Rules {
  const root = schema && nodeOf(withRoot(schema));
  if (!root) return NO_RULES;
  return {
    check(object, old) {
      const errors: FieldError[] = [];
      checkNode(root, { value: object, old, path: "" }, errors);
      return errors;
    },
  };
}

/** What is wrong with the rules of a schema. */
export function ruleErrors(schema: JsonSchema, path: string): FieldError[] {
  const errors: FieldError[] = [];
  visit(withRoot(schema), { path, times: 1, isCorrelatable: true }, errors);
  return errors;
}

const withRoot = (schema: JsonSchema): JsonSchema => (hasRules(schema) ? withObjectFields(schema) : schema);

function hasRules(schema: JsonSchema): boolean {
  return (schema["x-kubernetes-validations"] ?? []).length > 0;
}

const declarations = new WeakMap<JsonSchema, { types: Environment; type: string }>();

/** The types of a schema, declared once for all of its rules. */
function declaredTypes(schema: JsonSchema): { types: Environment; type: string } {
  const known = declarations.get(schema);
  if (known) return known;
  const types = newEnvironment();
  const made = { types, type: declareType(types, schema, "Self") };
  declarations.set(schema, made);
  return made;
}

function compileRule(schema: JsonSchema, rule: ValidationRule): CompiledRule {
  const { types, type } = declaredTypes(schema);
  const env = types.clone();
  env.registerVariable("self", type);
  env.registerVariable("oldSelf", rule.optionalOldSelf ? `optional<${type}>` : type);
  const program = compile(env, rule.rule, "bool");
  return { rule, program, usesOld: mentions(program.ast, "oldSelf"), message: rule.messageExpression ? compile(env, rule.messageExpression, "string") : undefined };
}

interface Visit {
  readonly path: string;
  /** How often this place can occur in one object. */
  readonly times: number;
  readonly isCorrelatable: boolean;
}

function visit(schema: JsonSchema, at: Visit, errors: FieldError[]): void {
  (schema["x-kubernetes-validations"] ?? []).forEach((rule, index) => visitRule(schema, { ...at, path: `${at.path}.x-kubernetes-validations[${index}]` }, { rule, errors }));
  for (const [name, inner] of Object.entries(schema.properties ?? {})) visit(inner, { ...at, path: `${at.path}.properties[${name}]` }, errors);
  if (typeof schema.additionalProperties === "object") visit(schema.additionalProperties, { ...at, path: `${at.path}.additionalProperties`, times: at.times * maxSize(schema) }, errors);
  if (schema.items) visit(schema.items, { path: `${at.path}.items`, times: at.times * maxSize(schema), isCorrelatable: at.isCorrelatable && schema["x-kubernetes-list-type"] === "map" }, errors);
}

function visitRule(schema: JsonSchema, { path, times, isCorrelatable }: Visit, { rule, errors }: { rule: ValidationRule; errors: FieldError[] }): void {
  if (!rule.rule?.trim()) return;
  try {
    const { program, usesOld } = compileRule(schema, rule);
    if (usesOld && !isCorrelatable) errors.push(field.invalid(`${path}.rule`, rule.rule, "oldSelf cannot be used on the uncorrelatable portion of the schema"));
    const cost = estimatedCost(program.ast, schema) * times;
    if (cost > ESTIMATE_LIMIT) errors.push(field.forbidden(`${path}.rule`, `estimated rule cost exceeds budget by factor of ${factorText(cost / ESTIMATE_LIMIT)} (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)`));
  } catch (error) {
    if (!(error instanceof CompileError)) throw error;
    errors.push(field.invalid(`${path}.rule`, rule.rule, error.message));
  }
}

function factorText(factor: number): string {
  return factor > 100 ? "more than 100x" : `${factor.toFixed(1)}x`;
}

function nodeOf(schema: JsonSchema): RuleNode | undefined {
  const rules = (schema["x-kubernetes-validations"] ?? []).flatMap((rule) => compiledOrNone(schema, rule));
  const fields = new Map<string, RuleNode>();
  for (const [name, inner] of Object.entries(schema.properties ?? {})) {
    const node = nodeOf(inner);
    if (node) fields.set(name, node);
  }
  const inner = schema.items ?? (typeof schema.additionalProperties === "object" ? schema.additionalProperties : undefined);
  const items = inner && nodeOf(inner);
  return rules.length > 0 || fields.size > 0 || items ? { schema, rules, fields, items } : undefined;
}

function compiledOrNone(schema: JsonSchema, rule: ValidationRule): CompiledRule[] {
  try {
    return [compileRule(schema, rule)];
  } catch (error) {
    if (error instanceof CompileError) return [];
    throw error;
  }
}

interface Place {
  readonly value: unknown;
  readonly old: unknown;
  readonly path: string;
}

function checkNode(node: RuleNode, place: Place, errors: FieldError[]): void {
  const { value, old, path } = place;
  if (value === null || value === undefined) return;
  const isSame = old !== undefined && equalJson(value, old);
  if (!checkRules(node, place, { errors, isSame })) return;
  if (Array.isArray(value)) {
    if (node.items) value.forEach((item, index) => checkNode(node.items as RuleNode, { value: item, old: oldItem(node.schema, item, old), path: `${path}[${index}]` }, errors));
    return;
  }
  if (typeof value !== "object") return;
  for (const [key, inner] of Object.entries(value)) {
    const child = node.fields.get(key) ?? (node.schema.properties?.[key] ? undefined : node.items);
    const at = node.fields.has(key) ? (path === "" ? key : `${path}.${key}`) : `${path}[${key}]`;
    if (child) checkNode(child, { value: inner, old: (old as Record<string, unknown> | undefined)?.[key], path: at }, errors);
  }
}

/** Returns false when nothing more should be evaluated. */
function checkRules({ schema, rules }: RuleNode, { value, old, path }: Place, { errors, isSame }: { errors: FieldError[]; isSame: boolean }): boolean {
  if (rules.length === 0) return true;
  const self = toCel(value, schema);
  const oldSelf = old === undefined ? undefined : toCel(old, schema);
  const type = schema.type ?? "";
  for (const { rule, program, usesOld, message } of rules) {
    if (usesOld && oldSelf === undefined && !rule.optionalOldSelf) continue;
    const at = path === "" ? "<nil>" : path;
    const variables = { self, ...(oldSelf !== undefined && { oldSelf }) };
    if (actualCost(program.ast, variables) > CALL_LIMIT) {
      errors.push(field.invalid(at, type, `'operation cancelled: actual cost limit exceeded': no further validation rules will be run due to call cost exceeds limit for rule: ${rule.rule}`));
      return false;
    }
    const problem = outcomeOf({ rule, program, message, variables });
    if (problem !== undefined && !(isSame && !usesOld)) errors.push(failure(rule, { at, path, type, problem }));
  }
  return true;
}

function outcomeOf({ rule, program, message, variables }: { rule: ValidationRule; program: Program; message: Program | undefined; variables: Readonly<Record<string, unknown>> }): string | undefined {
  try {
    if (program.evaluate(variables) === true) return undefined;
  } catch (error) {
    return `${(error as Error).message} evaluating rule: ${rule.message?.trim() || rule.rule.trim()}`;
  }
  return messageOf(message, variables) ?? (rule.message?.trim() || `failed rule: ${rule.rule.trim()}`);
}

function messageOf(message: Program | undefined, variables: Readonly<Record<string, unknown>>): string | undefined {
  try {
    const text = message?.evaluate(variables);
    return typeof text === "string" && text.trim() !== "" && !text.includes("\n") ? text.trim() : undefined;
  } catch {
    return undefined;
  }
}

function failure({ reason, fieldPath }: ValidationRule, { at, path, type, problem }: { at: string; path: string; type: string; problem: string }): FieldError {
  const place = fieldPath ? `${path}${path === "" ? fieldPath.replace(/^\./, "") : fieldPath}` : at;
  if (reason === "FieldValueRequired") return field.required(place, problem);
  if (reason === "FieldValueForbidden") return field.forbidden(place, problem);
  if (reason === "FieldValueDuplicate") return { field: place, reason: "FieldValueDuplicate", message: `Duplicate value: ${JSON.stringify(type)}` };
  return field.invalid(place, type, problem);
}
