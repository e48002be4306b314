// One place in a JSON document, as a JSON pointer names it, and what can be done there.
// Where RFC 6902 and upstream's JSON patches differ, upstream's rules hold: a key that is not there can be read and replaced.

const MISSING = "missing value";
const INVALID_INDEX = "invalid index referenced";

/** Why an operation cannot be done at a place, in upstream's words. */
export class PlaceError extends Error {}

/** A key of an object, or an index of an array, counted from the end when negative. */
export interface Place {
  /** What is there; undefined for a key that is not. Throws a PlaceError for an index that is not. */
  get(): unknown;
  /** Sets a key, or writes over an index. */
  set(value: unknown): void;
  /** Sets a key, or puts a value before an index; `-` is the end. */
  add(value: unknown): void;
  /** Throws a PlaceError where there is nothing to remove. */
  remove(): void;
}

/** The place a pointer names; undefined when what should hold it is missing or a scalar. */
export function placeOf(document: unknown, pointer: string): Place | undefined {
  const steps = pointer.split("/").slice(1).map((step) => step.replaceAll("~1", "/").replaceAll("~0", "~"));
  const last = steps.pop();
  if (last === undefined) return undefined;
  let holder = document;
  for (const step of steps) {
    const next = inside(holder, step);
    try {
      holder = next?.get();
    } catch {
      return undefined;
    }
  }
  return inside(holder, last);
}

function inside(holder: unknown, step: string): Place | undefined {
  if (typeof holder !== "object" || holder === null) return undefined;
  return Array.isArray(holder) ? new Index(holder, step) : new Key(holder as Record<string, unknown>, step);
}

class Key implements Place {
  constructor(private readonly holder: Record<string, unknown>, private readonly name: string) {}

  get(): unknown {
    return Object.hasOwn(this.holder, this.name) ? this.holder[this.name] : undefined;
  }

  // Defined, not assigned: `__proto__` is a key like any other.
  set(value: unknown): void {
    Object.defineProperty(this.holder, this.name, { value, writable: true, enumerable: true, configurable: true });
  }

  add(value: unknown): void {
    this.set(value);
  }

  remove(): void {
    if (!Object.hasOwn(this.holder, this.name)) throw new PlaceError(`Unable to remove nonexistent key: ${this.name}: ${MISSING}`);
    delete this.holder[this.name];
  }
}

class Index implements Place {
  constructor(private readonly holder: unknown[], private readonly step: string) {}

  get(): unknown {
    return this.holder[this.position(this.holder.length)];
  }

  set(value: unknown): void {
    this.holder[this.position(this.holder.length)] = value;
  }

  add(value: unknown): void {
    if (this.step === "-") this.holder.push(value);
    else this.holder.splice(this.position(this.holder.length + 1), 0, value);
  }

  remove(): void {
    this.holder.splice(this.position(this.holder.length), 1);
  }

  private position(length: number): number {
    if (!/^[+-]?\d+$/.test(this.step)) throw new PlaceError(`value was not a proper array index: '${this.step}': strconv.Atoi: parsing ${JSON.stringify(this.step)}: invalid syntax`);
    const index = Number(this.step);
    if (index >= length || index < -length) throw new PlaceError(`Unable to access invalid index: ${index}: ${INVALID_INDEX}`);
    return index < 0 ? index + length : index;
  }
}
