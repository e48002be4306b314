// What names of objects may look like, in upstream's sentences, and how names are generated.
import { customAlphabet } from "nanoid";

const LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const LABEL_PATTERN = new RegExp(`^${LABEL}$`);
const SUBDOMAIN = "[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const SUBDOMAIN_PATTERN = new RegExp(`^${SUBDOMAIN}$`);
const MAX_GENERATED_BASE = 58;

/** A DNS label: what namespaces are called. */
export function dnsLabelErrors(name: string, isPrefix = false): readonly string[] {
  const errors: string[] = [];
  if (name.length > 63) errors.push("must be no more than 63 bytes");
  if (!LABEL_PATTERN.test(isPrefix ? maskTrailingDash(name) : name)) errors.push(`a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '${LABEL}')`);
  return errors;
}

/** A DNS subdomain: what most objects are called. */
export function dnsSubdomainErrors(name: string, isPrefix = false): readonly string[] {
  const errors: string[] = [];
  if (name.length > 253) errors.push("must be no more than 253 bytes");
  if (!SUBDOMAIN_PATTERN.test(isPrefix ? maskTrailingDash(name) : name)) errors.push(`a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '${SUBDOMAIN}')`);
  return errors;
}

/** What no name may be, because names are path segments. */
export function pathSegmentErrors(name: string): readonly string[] {
  if (name === "." || name === "..") return [`may not be '${name}'`];
  return ["/", "%"].filter((part) => name.includes(part)).map((part) => `may not contain '${part}'`);
}

// No vowels and no 0, 1, 3: generated names never spell anything.
const suffix = customAlphabet("bcdfghjklmnpqrstvwxz2456789", 5);

/** A name that starts with `base` and ends in five random characters. */
export function generateName(base: string): string {
  return `${base.slice(0, MAX_GENERATED_BASE)}${suffix()}`;
}

function maskTrailingDash(name: string): string {
  return name.length > 1 && name.endsWith("-") ? `${name.slice(0, -2)}a` : name;
}
