// Selectors as data and as predicates: label selectors in text and object form, field selectors in text form.
// Grammar and messages: k8s.io/apimachinery/pkg/{labels,fields}; which fields can be selected is each kind's business.
import type { LabelSelector } from "./types.ts";
import { labelKeyErrors, labelValueErrors } from "./labels.ts";

/** The text or object is no selector; the message is upstream's. */
export class SelectorError extends Error {
  override readonly name = "SelectorError";
}

export type LabelOperator = "=" | "==" | "!=" | "in" | "notin" | "exists" | "!" | "gt" | "lt";
export type Labels = Readonly<Record<string, string>>;

/** One condition on one label; all requirements of a selector must hold. */
export interface Requirement {
  readonly key: string;
  readonly operator: LabelOperator;
  /** Sorted and distinct; exactly one for `=`, `==`, `!=`, `gt`, `lt`, none for `exists` and `!`. */
  readonly values: readonly string[];
}

/** A parsed selector; `requirements` (sorted by key) lets a cache pick an index. */
export class LabelMatcher {
  constructor(readonly requirements: readonly Requirement[], private readonly matchesNothing = false) {}

  /** True when nothing is excluded. */
  get isEmpty(): boolean {
    return this.requirements.length === 0 && !this.matchesNothing;
  }

  matches(labels: Labels | undefined): boolean {
    if (this.matchesNothing) return false;
    for (const requirement of this.requirements) {
      // Nearly all selectors are equalities, and are asked for every pod there is.
      if (requirement.operator === "=" ? labels?.[requirement.key] !== requirement.values[0] : !holds(requirement, labels)) return false;
    }
    return true;
  }

  /** Upstream's text form, such as `app=web,tier in (a,b)`; the empty string for everything and for nothing. */
  toString(): string {
    return this.requirements.map(formatRequirement).join(",");
  }
}

/** Matches every object. */
export const EVERYTHING = new LabelMatcher([]);
/** Matches no object: what an absent LabelSelector means. */
export const NOTHING = new LabelMatcher([], true);

/** Reads the text form of a label selector; throws SelectorError. The empty text matches everything. */
export function parseLabelSelector(text: string): LabelMatcher {
  return text === "" ? EVERYTHING : matcherFrom(new Parser(tokensOf(text)).requirements());
}

/** The predicate of a LabelSelector object: undefined matches nothing, an empty one everything; throws SelectorError. */
export function matcherOf(selector: LabelSelector | undefined): LabelMatcher {
  if (!selector) return NOTHING;
  const requirements = Object.entries(selector.matchLabels ?? {}).map(([key, value]) => requirement(key, "=", [value]));
  for (const { key, operator, values } of selector.matchExpressions ?? []) {
    const known = EXPRESSION_OPERATORS[operator];
    if (!known) throw new SelectorError(`${JSON.stringify(operator)} is not a valid label selector operator`);
    requirements.push(requirement(key, known, values ?? []));
  }
  return requirements.length === 0 ? EVERYTHING : matcherFrom(requirements);
}

/** The predicate of a plain map, as in `Service.spec.selector`: an empty or absent one matches everything. */
export function matcherOfLabels(labels: Labels | undefined): LabelMatcher {
  const requirements = Object.entries(labels ?? {}).map(([key, value]): Requirement => ({ key, operator: "=", values: [value] }));
  return requirements.length === 0 ? EVERYTHING : matcherFrom(requirements);
}

/** A LabelSelector as people read it: `<none>` when it selects everything or nothing, `<error>` when it is malformed. */
export function formatLabelSelector(selector: LabelSelector | undefined): string {
  try {
    return matcherOf(selector).toString() || "<none>";
  } catch {
    return "<error>";
  }
}

/** One condition of a field selector; `==` comes back as `=`. */
export interface FieldRequirement {
  readonly field: string;
  readonly operator: "=" | "!=";
  readonly value: string;
}

/** Reads a field selector such as `spec.nodeName=a,status.phase!=Failed`, sorted; throws SelectorError. */
export function parseFieldSelector(text: string): FieldRequirement[] {
  const terms = splitTerms(text).sort();
  return terms.filter((term) => term !== "").map((term) => {
    const match = /^(.*?)(!=|==|=)(.*)$/s.exec(term);
    if (!match) throw new SelectorError(`invalid selector: '${text}'; can't understand '${term}'`);
    return { field: match[1] as string, operator: match[2] === "!=" ? "!=" : "=", value: unescapeFieldValue(match[3] as string) };
  });
}

/** Escapes a literal for use as a value in a field selector. */
export function escapeFieldValue(value: string): string {
  return value.replace(/[\\,=]/g, "\\$&");
}

const EXPRESSION_OPERATORS: Readonly<Record<string, LabelOperator>> = { In: "in", NotIn: "notin", Exists: "exists", DoesNotExist: "!" };
const OPERATOR_TEXT: Readonly<Record<LabelOperator, string>> = { "=": "=", "==": "==", "!=": "!=", in: " in ", notin: " notin ", gt: ">", lt: "<", exists: "", "!": "" };
const OPERATOR_OF_TOKEN: Readonly<Record<string, LabelOperator>> = { in: "in", notin: "notin", "=": "=", "==": "==", "!=": "!=", ">": "gt", "<": "lt" };
const SYMBOLS = new Set([")", ",", "!", "==", "=", ">", "<", "!=", "("]);

function matcherFrom(requirements: readonly Requirement[]): LabelMatcher {
  return new LabelMatcher([...requirements].sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0)));
}

function holds({ key, operator, values }: Requirement, labels: Labels | undefined): boolean {
  const value = labels && Object.hasOwn(labels, key) ? labels[key] : undefined;
  switch (operator) {
    case "=":
    case "==":
    case "in":
      return value !== undefined && values.includes(value);
    case "!=":
    case "notin":
      return value === undefined || !values.includes(value);
    case "exists":
      return value !== undefined;
    case "!":
      return value === undefined;
    default:
      return value !== undefined && INTEGER.test(value) && (operator === "gt" ? BigInt(value) > BigInt(values[0] as string) : BigInt(value) < BigInt(values[0] as string));
  }
}

const INTEGER = /^-?[0-9]{1,19}$/;

function formatRequirement({ key, operator, values }: Requirement): string {
  if (operator === "!") return `!${key}`;
  const list = [...values].sort().join(",");
  return `${key}${OPERATOR_TEXT[operator]}${operator === "in" || operator === "notin" ? `(${list})` : list}`;
}

/** A checked requirement; messages name fields relative to the requirement, as upstream does without a path. */
function requirement(key: string, operator: LabelOperator, values: readonly string[]): Requirement {
  const errors: string[] = [];
  const keyErrors = labelKeyErrors(key);
  if (keyErrors.length > 0) errors.push(`key: Invalid value: ${JSON.stringify(key)}: ${keyErrors.join("; ")}`);
  const countError = valueCountError(operator, values.length);
  if (countError !== undefined) errors.push(`values: Invalid value: ${JSON.stringify(values)}: ${countError}`);
  values.forEach((value, index) => {
    if ((operator === "gt" || operator === "lt") && !INTEGER.test(value)) errors.push(`values[${index}]: Invalid value: ${JSON.stringify(value)}: for 'Gt', 'Lt' operators, the value must be an integer`);
  });
  values.forEach((value, index) => {
    const valueErrors = labelValueErrors(value);
    if (valueErrors.length > 0) errors.push(`values[${index}][${key}]: Invalid value: ${JSON.stringify(value)}: ${valueErrors.join("; ")}`);
  });
  if (errors.length > 0) throw new SelectorError(errors.length === 1 ? (errors[0] as string) : `[${errors.join(", ")}]`);
  return { key, operator, values };
}

function valueCountError(operator: LabelOperator, count: number): string | undefined {
  switch (operator) {
    case "in":
    case "notin":
      return count === 0 ? "for 'in', 'notin' operators, values set can't be empty" : undefined;
    case "exists":
    case "!":
      return count === 0 ? undefined : "values set must be empty for exists and does not exist";
    case "gt":
    case "lt":
      return count === 1 ? undefined : "for 'Gt', 'Lt' operators, exactly one value is required";
    default:
      return count === 1 ? undefined : "exact-match compatibility requires one single value";
  }
}

interface Token {
  readonly type: "symbol" | "word" | "end" | "error";
  readonly text: string;
}

function tokensOf(text: string): Token[] {
  const tokens: Token[] = [];
  let at = 0;
  for (;;) {
    while (at < text.length && /\s/.test(text[at] as string)) at++;
    if (at >= text.length) break;
    const run = /^[=!(),<>]+/.exec(text.slice(at))?.[0];
    const token = run === undefined ? wordAt(text, at) : symbolOf(run);
    tokens.push(token);
    at += token.type === "error" ? (run as string).length : token.text.length;
  }
  return [...tokens, { type: "end", text: "" }];
}

function wordAt(text: string, at: number): Token {
  return { type: "word", text: /^[^=!(),<>\s]+/.exec(text.slice(at))?.[0] as string };
}

/** The longest operator a run of operator characters starts with. */
function symbolOf(run: string): Token {
  for (const length of [2, 1]) if (SYMBOLS.has(run.slice(0, length))) return { type: "symbol", text: run.slice(0, length) };
  return { type: "error", text: `error expected: keyword found '${run}'` };
}

/** Recursive descent over the tokens of one selector; `in` and `notin` are ordinary words where a key or value stands. */
class Parser {
  #at = 0;
  constructor(private readonly tokens: readonly Token[]) {}

  requirements(): Requirement[] {
    const found: Requirement[] = [];
    for (;;) {
      const next = this.#peek();
      if (next.type === "end") return found;
      if (next.type !== "word" && next.text !== "!") throw new SelectorError(`found '${next.text}', expected: !, identifier, or 'end of string'`);
      found.push(this.#requirement());
      const after = this.#take();
      if (after.type === "end") return found;
      if (after.text !== ",") throw new SelectorError(`found '${after.text}', expected: ',' or 'end of string'`);
      const following = this.#peek();
      if (following.type !== "word" && following.text !== "!") throw new SelectorError(`found '${following.text}', expected: identifier after ','`);
    }
  }

  #peek(): Token {
    return this.tokens[this.#at] as Token;
  }

  #take(): Token {
    const token = this.#peek();
    if (token.type !== "end") this.#at++;
    return token;
  }

  #requirement(): Requirement {
    try {
      const isNegated = this.#peek().text === "!";
      if (isNegated) this.#take();
      const key = this.#take();
      if (key.type !== "word") throw new SelectorError(`found '${key.text}', expected: identifier`);
      const keyErrors = labelKeyErrors(key.text);
      if (keyErrors.length > 0) throw new SelectorError(`<nil>: Invalid value: ${JSON.stringify(key.text)}: ${keyErrors.join("; ")}`);
      if (isNegated) return requirement(key.text, "!", []);
      const next = this.#peek();
      if (next.type === "end" || next.text === ",") return requirement(key.text, "exists", []);
      return this.#comparison(key.text);
    } catch (error) {
      throw new SelectorError(`unable to parse requirement: ${(error as Error).message}`, { cause: error });
    }
  }

  #comparison(key: string): Requirement {
    const token = this.#take();
    const operator = OPERATOR_OF_TOKEN[token.text];
    if (!operator || token.type === "error") throw new SelectorError(`found '${token.text}', expected: in, notin, =, ==, !=, gt, lt`);
    const values = operator === "in" || operator === "notin" ? this.#list() : [this.#exactValue()];
    return requirement(key, operator, [...new Set(values)].sort());
  }

  #exactValue(): string {
    const next = this.#peek();
    if (next.type === "end" || next.text === ",") return "";
    const token = this.#take();
    if (token.type !== "word") throw new SelectorError(`found '${token.text}', expected: identifier`);
    return token.text;
  }

  #list(): string[] {
    const open = this.#take();
    if (open.text !== "(") throw new SelectorError(`found '${open.text}' expected: '('`);
    const first = this.#peek();
    if (first.type !== "word" && first.text !== "," && first.text !== ")") throw new SelectorError(`found '${first.text}', expected: ',', ')' or identifier`);
    const values: string[] = [];
    for (;;) {
      const token = this.#peek();
      if (token.type === "word") values.push(this.#take().text);
      else if (token.text === "," || token.text === ")") values.push("");
      else throw new SelectorError(`found '${token.text}', expected: ',', or identifier`);
      const separator = this.#take();
      if (separator.text === ")") return values;
      if (separator.text !== ",") throw new SelectorError(`found '${separator.text}', expected: ',' or ')'`);
    }
  }
}

/** Splits at commas that are not escaped; escapes stay in. */
function splitTerms(text: string): string[] {
  return text === "" ? [] : (text.match(/(?:\\[\s\S]|[^,\\])+|\\$|(?<=,|^)(?=,|$)/g) ?? []);
}

function unescapeFieldValue(value: string): string {
  if (!/[\\,=]/.test(value)) return value;
  return value.replace(/\\([\s\S]?)|[,=]/g, (found, escaped: string | undefined) => {
    if (escaped === undefined) throw new SelectorError(`invalid field selector: unescaped character in value: ${found.charCodeAt(0)}`);
    if (escaped === "" || !"\\,=".includes(escaped)) throw new SelectorError(`invalid field selector: invalid escape sequence: ${found}`);
    return escaped;
  });
}
