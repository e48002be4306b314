// The string formats a schema may demand; an unknown format demands nothing.
// List: k8s.io/kube-openapi/pkg/validation/strfmt, as far as apiextensions supports it.
import { isIP, isIPv4, isIPv6 } from "node:net";
import { parseCidr } from "../../../../lib/cidr.ts";
import { dnsLabel, dnsSubdomain } from "../../kinds/validation/names.ts";

const UUID = (version: string): RegExp => new RegExp(`^[0-9a-f]{8}-?[0-9a-f]{4}-?${version}[0-9a-f]{3}-?[0-9a-f]{4}-?[0-9a-f]{12}$`, "i");
const matches = (pattern: RegExp) => (text: string): boolean => pattern.test(text);

const FORMATS: Readonly<Record<string, (text: string) => boolean>> = {
  bsonobjectid: matches(/^[0-9a-f]{24}$/i),
  byte: matches(/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/),
  cidr: (text) => parseCidr(text) !== undefined,
  creditcard: matches(/^\d{12,19}$/),
  date: (text) => /^\d{4}-\d{2}-\d{2}$/.test(text) && !Number.isNaN(Date.parse(text)),
  "date-time": (text) => /^\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:?\d{2})?$/.test(text) && !Number.isNaN(Date.parse(text.replace(" ", "T"))),
  datetime: (text) => !Number.isNaN(Date.parse(text)),
  duration: matches(/^[+-]?(?:\d+(?:\.\d*)?|\.\d+)\s*(?:ns|us|µs|μs|ms|s|m|h|d|w|nanoseconds?|microseconds?|milliseconds?|seconds?|secs?|minutes?|mins?|hours?|hrs?|days?|weeks?)(?:\s*(?:\d+(?:\.\d*)?|\.\d+)\s*(?:ns|us|µs|μs|ms|s|m|h|d|w))*$|^[+-]?0$/),
  email: matches(/^[^\s@]+@[^\s@]+$/),
  hexcolor: matches(/^#?(?:[0-9a-f]{3}|[0-9a-f]{6})$/i),
  hostname: (text) => text.length <= 255 && /^[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*\.?$/.test(text),
  ipv4: isIPv4, ipv6: isIPv6, ip: (text) => isIP(text) !== 0,
  isbn: matches(/^(?:97[89])?\d{9}[\dXx]$/), isbn10: matches(/^\d{9}[\dXx]$/), isbn13: matches(/^97[89]\d{10}$/),
  mac: matches(/^(?:[0-9a-f]{2}[:-]){5}(?:[0-9a-f]{2}[:-]){0,2}[0-9a-f]{2}$|^(?:[0-9a-f]{4}\.){2,3}[0-9a-f]{4}$/i),
  password: () => true,
  rgbcolor: matches(/^rgb\(\s*\d{1,3}\s*,\s*\d{1,3}\s*,\s*\d{1,3}\s*\)$/),
  ssn: matches(/^\d{3}[- ]?\d{2}[- ]?\d{4}$/),
  uri: (text) => URL.canParse(text) || text.startsWith("/"),
  uuid: matches(UUID("[0-9a-f]")), uuid3: matches(UUID("3")), uuid4: matches(UUID("4")), uuid5: matches(UUID("5")),
  "k8s-short-name": (text) => dnsLabel(text).length === 0,
  "k8s-long-name": (text) => dnsSubdomain(text).length === 0,
};

/** Whether a string has a format. */
export function isFormat(format: string, text: string): boolean {
  return FORMATS[format]?.(text) ?? true;
}
