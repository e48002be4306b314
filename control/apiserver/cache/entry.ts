// One version of one object in the watch cache: its bytes and its parsed form, each made when first asked for.
import { shareSets } from "../../../api/schema/sharedsets.ts";
import type { AnyObject, Stored } from "../../../api/types.ts";
import { freezeJson, spliceRevision } from "../json.ts";

/** Tests turn this on to catch code that changes shared objects. */
export const sharing = { freeze: false };

/** One version of one object; never changes. Revision 0 is an object that was never stored (a dry run). */
export class Entry {
  #stored: Uint8Array | undefined;
  #bytes: Buffer | undefined;
  #object: Stored<AnyObject> | undefined;
  #views: Map<string, unknown> | undefined;
  #isLent = false;

  constructor(readonly namespace: string, readonly name: string, readonly revision: number, source: { readonly stored: Uint8Array; readonly object?: AnyObject | undefined }) {
    this.#stored = source.stored;
    if (source.object) this.#object = this.#publish(source.object);
  }

  /** How long its JSON text is in bytes, or nearly so. */
  get size(): number {
    return (this.#bytes ?? (this.#stored as Uint8Array)).length;
  }

  /** The object as JSON text, resourceVersion included: what GET answers and watchers are sent. */
  get bytes(): Buffer {
    if (this.#bytes) return this.#bytes;
    const stored = this.#stored as Uint8Array;
    this.#bytes = this.revision === 0 ? Buffer.from(stored) : spliceRevision(stored, this.revision);
    this.#stored = undefined;
    return this.#bytes;
  }

  /** The parsed object, shared by everyone: never mutate it. */
  get object(): Stored<AnyObject> {
    return (this.#object ??= this.#publish(this.#parsed()));
  }

  /** The parsed form for somebody in this process who keeps it: it costs nothing to keep it here too. */
  lend(): Stored<AnyObject> {
    this.#isLent = true;
    return this.object;
  }

  /** Lets go of the parsed form: only history still knows this version. Views stay, for making one may take a webhook. */
  shrink(): void {
    this.#object = undefined;
  }

  /** Lets go of the parsed form when nobody keeps it: bytes are what most objects are asked for, and take half the memory. */
  rest(): void {
    if (!this.#isLent) this.#object = undefined;
  }

  /** Another representation of this version (an older API version, a conversion), made once per name. */
  view<T>(name: string, make: (entry: Entry) => T): T {
    this.#views ??= new Map();
    if (!this.#views.has(name)) this.#views.set(name, make(this));
    return this.#views.get(name) as T;
  }

  /** A representation that was made before. */
  seen<T>(name: string): T | undefined {
    return this.#views?.get(name) as T | undefined;
  }

  #parsed(): AnyObject {
    const object = JSON.parse((this.#bytes ?? Buffer.from(this.#stored as Uint8Array)).toString()) as AnyObject;
    shareSets(object.metadata.managedFields);
    return object;
  }

  #publish(object: AnyObject): Stored<AnyObject> {
    if (this.revision === 0) delete object.metadata.resourceVersion;
    else object.metadata.resourceVersion = String(this.revision);
    return (sharing.freeze ? freezeJson(object) : object) as Stored<AnyObject>;
  }
}
