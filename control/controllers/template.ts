// Pod templates compared and named: equal whatever order their fields came in, and hashed into a label value.
import type { PodTemplateSpec } from "../../api/types.ts";

export const POD_TEMPLATE_HASH = "pod-template-hash";

/** Whether two values say the same: key order, null, undefined and empty lists make no difference. */
export function isSame(a: unknown, b: unknown): boolean {
  if (a === b || (isNothing(a) && isNothing(b))) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (Array.isArray(a) || Array.isArray(b)) return Array.isArray(a) && Array.isArray(b) && a.length === b.length && a.every((item, index) => isSame(item, b[index]));
  return hasSameFields(a as Record<string, unknown>, b as Record<string, unknown>);
}

function hasSameFields(a: Readonly<Record<string, unknown>>, b: Readonly<Record<string, unknown>>): boolean {
  for (const key in a) if (!isSame(a[key], Object.hasOwn(b, key) ? b[key] : undefined)) return false;
  for (const key in b) if (!Object.hasOwn(a, key) && !isNothing(b[key])) return false;
  return true;
}

function isNothing(value: unknown): boolean {
  return value === undefined || value === null || (Array.isArray(value) && value.length === 0);
}

/** Whether two templates make the same pods, the hash label aside. */
export function isSameTemplate(a: PodTemplateSpec, b: PodTemplateSpec): boolean {
  return isSame(withoutHash(a), withoutHash(b));
}

/** A short, name-safe hash of a template; `collisions` leads past hashes that were taken by another template. */
export function hashTemplate(template: unknown, collisions = 0): string {
  return safeEncode(String(fnv1a(canonical(template) + (collisions > 0 ? `#${collisions}` : ""))));
}

/** JSON with sorted keys and without what is empty. */
export function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null";
  const fields: string[] = [];
  for (const key of Object.keys(value).sort()) {
    const field = (value as Record<string, unknown>)[key];
    if (field === undefined || field === null || (Array.isArray(field) && field.length === 0)) continue;
    fields.push(`${JSON.stringify(key)}:${canonical(field)}`);
  }
  return `{${fields.join(",")}}`;
}

/** 32-bit FNV-1a over UTF-8. */
export function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) {
    hash ^= byte;
    hash = Math.imul(hash, 0x01000193);
  }
  return hash >>> 0;
}

const SAFE = "bcdfghjklmnpqrstvwxz2456789";

/** Maps every character to one that can stand in a name and spells no word. */
export function safeEncode(text: string): string {
  return [...text].map((character) => SAFE[character.charCodeAt(0) % SAFE.length]).join("");
}

function withoutHash(template: PodTemplateSpec): PodTemplateSpec {
  if (template.metadata?.labels?.[POD_TEMPLATE_HASH] === undefined) return template;
  const { [POD_TEMPLATE_HASH]: _, ...labels } = template.metadata.labels;
  return { ...template, metadata: { ...template.metadata, labels } };
}
