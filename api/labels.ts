// What labels, their keys and values, and DNS names may look like, in upstream's sentences (k8s.io/apimachinery/pkg/api/validate/content).
// Which field a sentence is about is the caller's business.

const LABEL_KEY = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const KEY_RULE = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
const VALUE_RULE = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
const SUBDOMAIN = "[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const SUBDOMAIN_RULE = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character";
const DNS_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const DNS_LABEL_RULE = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character";
const DNS_LABEL_PATTERN = new RegExp(`^${DNS_LABEL}$`);
const KEY_PATTERN = new RegExp(`^${LABEL_KEY}$`);
const VALUE_PATTERN = new RegExp(`^(${LABEL_KEY})?$`);
const SUBDOMAIN_PATTERN = new RegExp(`^${SUBDOMAIN}$`);
const MAX_LABEL_BYTES = 63;
const MAX_SUBDOMAIN_BYTES = 253;
const KEY_EXAMPLES = ["MyName", "my.name", "123-abc"];

/** What is wrong with a label key (also called a qualified name), one sentence each; empty when it is valid. */
export function labelKeyErrors(key: string): readonly string[] {
  const parts = key.split("/");
  if (parts.length > 2) return [`a valid label key ${regexSentence(KEY_RULE, LABEL_KEY, KEY_EXAMPLES)} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')`];
  const errors: string[] = [];
  if (parts.length === 2) {
    const prefix = parts[0] as string;
    errors.push(...(prefix === "" ? ["must be non-empty"] : subdomainErrors(prefix)).map((sentence) => `prefix part ${sentence}`));
  }
  const name = parts.at(-1) as string;
  if (name === "") errors.push("name part must be non-empty");
  else if (Buffer.byteLength(name) > MAX_LABEL_BYTES) errors.push(`name part must be no more than ${MAX_LABEL_BYTES} bytes`);
  if (!KEY_PATTERN.test(name)) errors.push(`name part ${regexSentence(KEY_RULE, LABEL_KEY, KEY_EXAMPLES)}`);
  return errors;
}

/** What is wrong with a label value, one sentence each; empty when it is valid. */
export function labelValueErrors(value: string): readonly string[] {
  const errors: string[] = [];
  if (Buffer.byteLength(value) > MAX_LABEL_BYTES) errors.push(`must be no more than ${MAX_LABEL_BYTES} bytes`);
  if (!VALUE_PATTERN.test(value)) errors.push(regexSentence(VALUE_RULE, `(${LABEL_KEY})?`, ["MyValue", "my_value", "12345"]));
  return errors;
}

/** What is wrong with a DNS label, such as the name of a namespace. */
export function dnsLabelErrors(value: string): readonly string[] {
  const errors: string[] = [];
  if (Buffer.byteLength(value) > MAX_LABEL_BYTES) errors.push(`must be no more than ${MAX_LABEL_BYTES} bytes`);
  if (!DNS_LABEL_PATTERN.test(value)) errors.push(regexSentence(DNS_LABEL_RULE, DNS_LABEL, ["my-name", "123-abc"]));
  return errors;
}

/** What is wrong with a DNS subdomain: what most objects are called. */
export function subdomainErrors(value: string): readonly string[] {
  const errors: string[] = [];
  if (Buffer.byteLength(value) > MAX_SUBDOMAIN_BYTES) errors.push(`must be no more than ${MAX_SUBDOMAIN_BYTES} bytes`);
  if (!SUBDOMAIN_PATTERN.test(value)) errors.push(regexSentence(SUBDOMAIN_RULE, SUBDOMAIN, ["example.com"]));
  return errors;
}

function regexSentence(rule: string, pattern: string, examples: readonly string[]): string {
  return `${rule} (e.g. ${examples.map((example) => `'${example}', `).join(" or ")}regex used for validation is '${pattern}')`;
}
