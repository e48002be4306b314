// What a run has learnt from replies: objects by where they are, versions and continue tokens, for requests that build on them.
import type { Random } from "./random.ts";

const MAX_OBJECTS = 2000;
const MAX_TOKENS = 50;

export interface SeenObject {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata?: { readonly name?: string; readonly namespace?: string; readonly resourceVersion?: string; readonly uid?: string };
}

/** A bounded memory. */
export class Seen {
  readonly #objects = new Map<string, SeenObject>();
  readonly #tokens: string[] = [];
  readonly #versions: string[] = ["1"];

  /** Remembers what stands at a path; a continue token and the version of a list too. */
  learn(path: string, reply: unknown): void {
    const object = reply as SeenObject & { items?: unknown; metadata?: { continue?: string } };
    if (typeof object !== "object" || object === null) return;
    const { metadata } = object;
    if (typeof metadata?.resourceVersion === "string") push(this.#versions, metadata.resourceVersion);
    if (typeof metadata?.continue === "string") push(this.#tokens, metadata.continue);
    if (object.items !== undefined || !metadata?.name || !metadata.uid) return;
    this.#objects.delete(path);
    this.#objects.set(path, object);
    if (this.#objects.size > MAX_OBJECTS) this.#objects.delete(this.#objects.keys().next().value as string);
  }

  object(path: string): SeenObject | undefined {
    return this.#objects.get(path);
  }

  /** Where something of a kind was seen. */
  place(random: Random, base: string, plural: string): string | undefined {
    const places = [...this.#objects.keys()].filter((path) => path.startsWith(base) && path.includes(plural));
    return places.length === 0 ? undefined : random.pick(places);
  }

  version(random: Random): string {
    return random.pick(this.#versions);
  }

  token(random: Random): string {
    return this.#tokens.length === 0 ? "" : random.pick(this.#tokens);
  }
}

function push(list: string[], item: string): void {
  list.push(item);
  if (list.length > MAX_TOKENS) list.shift();
}
