// Rules for IP addresses and ranges in fields, in upstream's words.
import { isIP } from "node:net";
import { field, type FieldError } from "../../../../api/errors.ts";
import { formatAddress, formatCidr, networkAddress, parseAddress, parseCidr } from "../../../../lib/cidr.ts";

export const NOT_AN_IP = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
const NOT_A_CIDR = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
const MAPPED = /^::ffff:/i;

/** An address in any form. */
export function checkAddress(errors: FieldError[], path: string, value: string): void {
  for (const sentence of addressErrors(value)) errors.push(field.invalid(path, value, sentence));
}

/** An address in its canonical form. */
export function checkCanonicalAddress(errors: FieldError[], path: string, value: string): void {
  for (const sentence of canonicalAddressErrors(value)) errors.push(field.invalid(path, value, sentence));
}

/** What is wrong with an address that must be canonical. */
export function canonicalAddressErrors(value: string): readonly string[] {
  const sentences = addressErrors(value);
  const canonical = formatAddress(parseAddress(value) ?? { family: 4, value: 0n });
  return sentences.length > 0 || canonical === value ? sentences : [`must be in canonical form (${JSON.stringify(canonical)})`];
}

/** A range in any form, without bits beyond its prefix. */
export function checkCidr(errors: FieldError[], path: string, value: string): void {
  for (const sentence of cidrErrors(value)) errors.push(field.invalid(path, value, sentence));
}

/** A range in its canonical form. */
export function checkCanonicalCidr(errors: FieldError[], path: string, value: string): void {
  const sentences = cidrErrors(value);
  const cidr = parseCidr(value);
  const canonical = cidr ? formatCidr(cidr) : value;
  for (const sentence of sentences) errors.push(field.invalid(path, value, sentence));
  if (sentences.length === 0 && canonical !== value) errors.push(field.invalid(path, value, `must be in canonical form (${JSON.stringify(canonical)})`));
}

function addressErrors(value: string): readonly string[] {
  if (isIP(value) === 0 || value.includes("%")) return [NOT_AN_IP];
  return MAPPED.test(value) ? ["must not be an IPv4-mapped IPv6 address"] : [];
}

function cidrErrors(value: string): readonly string[] {
  const cidr = parseCidr(value);
  if (!cidr) return [NOT_A_CIDR];
  if (/\/0\d/.test(value)) return ["must not have leading 0s in IP or prefix length"];
  if (MAPPED.test(value)) return ["must not have an IPv4-mapped IPv6 address"];
  return networkAddress(cidr).value === cidr.address.value ? [] : ["must not have bits set beyond the prefix length"];
}
