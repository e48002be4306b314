// What names may look like, in upstream's sentences: DNS labels and subdomains, ports, environment variables, paths.
// A rule returns sentences (empty when the value is valid); `check` turns them into field errors.
import { field, type FieldError } from "../../../../api/errors.ts";
import { dnsLabelErrors, labelKeyErrors, subdomainErrors } from "../../../../api/labels.ts";

export type NameRule = (value: string) => readonly string[];

const NONE: readonly string[] = [];
const LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const LABEL_1035 = "[a-z]([-a-z0-9]*[a-z0-9])?";
const SUBDOMAIN = `${LABEL}(\\.${LABEL})*`;
const LABEL_1035_PATTERN = new RegExp(`^${LABEL_1035}$`);
const WILDCARD = `\\*\\.${SUBDOMAIN}`;
const WILDCARD_PATTERN = new RegExp(`^${WILDCARD}$`);
const SUBDOMAIN_UNDERSCORE = "[a-z0-9_]([-_a-z0-9]*[a-z0-9_])?(\\.[a-z0-9_]([-_a-z0-9]*[a-z0-9_])?)*";
const SUBDOMAIN_UNDERSCORE_PATTERN = new RegExp(`^${SUBDOMAIN_UNDERSCORE}$`);
const HTTP_PATH = "[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+";
const HTTP_PATH_PATTERN = new RegExp(`^${HTTP_PATH}$`);
const LABEL_1035_RULE = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character";
const WILDCARD_RULE = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character";

/** A sentence about a pattern, with examples, as every upstream rule ends. */
export function patternSentence(rule: string, pattern: string, ...examples: readonly string[]): string {
  const shown = examples.map((example) => `'${example}', `).join(" or ");
  return `${rule} (${shown === "" ? "" : `e.g. ${shown}`}regex used for validation is '${pattern}')`;
}

export const tooLongSentence = (bytes: number): string => `must be no more than ${bytes} bytes`;
export const EMPTY = "must be non-empty";

/** RFC 1123 label: what namespaces, containers and volumes are called. */
export const dnsLabel: NameRule = dnsLabelErrors;

/** RFC 1035 label. */
export const dns1035Label: NameRule = (value) => ruled(value, { max: 63, pattern: LABEL_1035_PATTERN, sentence: () => patternSentence(LABEL_1035_RULE, LABEL_1035, "my-name", "abc-123") });

/** RFC 1123 subdomain: what most objects are called. */
export const dnsSubdomain: NameRule = subdomainErrors;

/** A subdomain behind `*.`. */
export const wildcardSubdomain: NameRule = (value) => ruled(value, { max: 253, pattern: WILDCARD_PATTERN, sentence: () => patternSentence(WILDCARD_RULE, WILDCARD, "*.example.com") });

/** A subdomain that may contain underscores. */
export const dnsSubdomainWithUnderscore: NameRule = (value) =>
  ruled(value, { max: 253, pattern: SUBDOMAIN_UNDERSCORE_PATTERN, sentence: () => patternSentence("a valid domain name must consist of lower case alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character or '_'", SUBDOMAIN_UNDERSCORE, "example.com", "_example.com", "example_com") });

/** A name with an optional domain prefix: label keys, finalizers, conditions. */
export const qualifiedName: NameRule = (value) => labelKeyErrors(value).map((sentence) => sentence.replace(/^a valid label key /, "a qualified name "));

/** The name of a port: short, lower case, with a letter. */
export const portName: NameRule = (value) => {
  const errors: string[] = [];
  if (value.length > 15) errors.push("must be no more than 15 characters");
  if (!/^[-a-z0-9]+$/.test(value)) errors.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)");
  if (!/[a-z]/.test(value)) errors.push("must contain at least one letter (a-z)");
  if (value.includes("--")) errors.push("must not contain consecutive hyphens");
  if (value.startsWith("-") || value.endsWith("-")) errors.push("must not begin or end with a hyphen");
  return errors.length === 0 ? NONE : errors;
};

/** The number of a port. */
export const portNumber = (value: number): readonly string[] => (value >= 1 && value <= 65535 ? NONE : ["must be between 1 and 65535, inclusive"]);

/** The name of an environment variable: any printable ASCII but `=`. */
export const envVarName: NameRule = (value) => {
  if (value === "") return [`environment variable name ${EMPTY}`];
  return /^[ -<>-~]+$/.test(value) ? NONE : ["a valid environment variable name must consist only of printable ASCII characters other than '='"];
};

/** A key of a ConfigMap or Secret, which becomes a file name. */
export const configKey: NameRule = (value) => {
  const errors: string[] = [];
  if (value.length > 253) errors.push(tooLongSentence(253));
  if (!/^[-._a-zA-Z0-9]+$/.test(value)) errors.push(patternSentence("a valid config key must consist of alphanumeric characters, '-', '_' or '.'", "[-._a-zA-Z0-9]+", "key.name", "KEY_NAME", "key-name"));
  if (value === ".") errors.push("must not be '.'");
  else if (value === "..") errors.push("must not be '..'");
  else if (value.startsWith("..")) errors.push("must not start with '..'");
  return errors.length === 0 ? NONE : errors;
};

/** Anything that can stand in a path. */
export const pathSegment: NameRule = (value) => {
  if (value === "." || value === "..") return [`may not be '${value}'`];
  const found = ["/", "%"].filter((part) => value.includes(part));
  return found.length === 0 ? NONE : found.map((part) => `may not contain '${part}'`);
};

/** Adds what is wrong with a controller's name: a domain, a slash and a path. */
export function checkDomainPath(errors: FieldError[], path: string, value: string): void {
  const [host = "", ...rest] = value.split("/");
  const tail = rest.join("/");
  if (value === "") errors.push(field.required(path));
  else if (host === "" || tail === "") errors.push(field.invalid(path, value, 'must be a domain-prefixed path (such as "acme.io/foo")'));
  else {
    check(errors, path, host, dnsSubdomain);
    if (!HTTP_PATH_PATTERN.test(tail)) errors.push(field.invalid(path, tail, patternSentence("Invalid path", HTTP_PATH)));
  }
}

/** A name for `generateName` may end in a dash: what follows is not there yet. */
export function forPrefix(rule: NameRule): (name: string, isPrefix: boolean) => readonly string[] {
  return (name, isPrefix) => rule(isPrefix && name.length > 1 && name.endsWith("-") ? `${name.slice(0, -2)}a` : name);
}

/** Adds one error per sentence. */
// A sink, a place, a value and its rule: naming them at each of a hundred call sites would hide the rules.
export function check(errors: FieldError[], path: string, value: string, rule: NameRule): void {
  for (const sentence of rule(value)) errors.push(field.invalid(path, value, sentence));
}

function ruled(value: string, { max, pattern, sentence }: { max: number; pattern: RegExp; sentence: () => string }): readonly string[] {
  const isLong = value.length > max;
  const matches = pattern.test(value);
  if (!isLong && matches) return NONE;
  return [...(isLong ? [tooLongSentence(max)] : []), ...(matches ? [] : [sentence()])];
}
