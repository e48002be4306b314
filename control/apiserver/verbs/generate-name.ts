// Names the server makes up: `generateName` and five random characters.
// What names may look like is in kinds/validation/names.ts.
import { customAlphabet } from "nanoid";

const MAX_GENERATED_BASE = 58;

// No vowels and no 0, 1, 3: generated names never spell anything.
const suffix = customAlphabet("bcdfghjklmnpqrstvwxz2456789", 5);

/** A name that starts with `base` and ends in five random characters. */
export function generateName(base: string): string {
  return `${base.slice(0, MAX_GENERATED_BASE)}${suffix()}`;
}
