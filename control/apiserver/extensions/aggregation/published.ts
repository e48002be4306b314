// What other API servers publish about themselves: their OpenAPI documents, read now and then, and shown among the own ones.
// How documents of version 2 become one is merge.ts.
import { createHash } from "node:crypto";
import { encodeDocument } from "../../../../api/schema/openapi/protobuf.ts";
import { logger } from "../../../../lib/log.ts";
import type { Document, DocumentSource } from "../../http/documents.ts";
import type { ApiServiceSpec } from "./apiservice.ts";
import { filtered, merged, type Swagger } from "./merge.ts";

/** What a remote server answers; `etag` is that of the copy there is, and undefined text says that it is still the same. */
export type ReadDocument = (spec: ApiServiceSpec, path: string, etag?: string) => Promise<{ readonly text: string | undefined; readonly etag: string | undefined }>;

interface Published {
  spec: ApiServiceSpec;
  /** Where the document of version 3 stands. */
  url: string | undefined;
  v2: { readonly document: Swagger; readonly etag: string; readonly isTheirs: boolean } | undefined;
  dueMs: number;
}

const log = logger("aggregation");
const EVERY_MS = 60_000;
const PROTOBUF = "proto-openapi.spec.v2";

/** Documents of the group-versions that are served elsewhere and can be asked now. */
export class PublishedDocuments {
  readonly #all = new Map<string, Published>();
  readonly #made = new Map<string, { readonly etag: string; readonly body: WeakRef<Uint8Array> }>();

  constructor(private readonly read: ReadDocument) {}

  /** Reads again what a server publishes, once a minute at most. Never rejects: a server may well publish nothing. */
  async refresh(spec: ApiServiceSpec, nowMs: number): Promise<void> {
    const key = keyOf(spec);
    const known = this.#all.get(key);
    if (known) known.spec = spec;
    if (known && nowMs < known.dueMs) return;
    const published: Published = { spec, url: known?.url, v2: known?.v2, dueMs: nowMs + EVERY_MS };
    this.#all.set(key, published);
    const [url, v2] = await Promise.all([orUndefined(key, this.#findUrl(spec)), orUndefined(key, this.#readV2(published))]);
    Object.assign(published, { url, v2 });
  }

  forget(spec: ApiServiceSpec): void {
    this.#all.delete(keyOf(spec));
  }

  /** The own documents, with these among them. */
  among(own: DocumentSource): DocumentSource {
    return async (path, accept) => {
      if (path === "/openapi/v2") return this.#merged(own, accept);
      const document = await own(path, accept);
      if (path === "/openapi/v3") return document && this.#withIndex(document);
      const published = document || !path.startsWith("/openapi/v3/apis/") ? undefined : this.#all.get(path.slice("/openapi/v3/".length));
      return published ? { body: (await this.read(published.spec, path)).text ?? "", contentType: "application/json" } : document;
    };
  }

  #withIndex(document: Document): Document {
    const more = [...this.#all].flatMap(([key, { url }]) => (url === undefined ? [] : [[key, { serverRelativeURL: url }]]));
    if (more.length === 0) return document;
    const { paths, ...rest } = JSON.parse(textOf(document)) as { paths: Record<string, unknown> };
    return { body: JSON.stringify({ ...rest, paths: { ...paths, ...(Object.fromEntries(more) as Record<string, unknown>) } }), contentType: document.contentType };
  }

  async #merged(own: DocumentSource, accept: string): Promise<Document | undefined> {
    const document = await own("/openapi/v2", accept);
    const others = [...this.#all.values()].filter(({ v2 }) => v2 !== undefined).toSorted(byPriority([...this.#all.values()]));
    if (!document || others.length === 0) return document;
    const etag = `"${createHash("sha256").update([document.etag, ...others.map(({ v2 }) => v2?.etag)].join("\n")).digest("hex").toUpperCase()}"`;
    const known = this.#made.get(document.contentType);
    const kept = known?.etag === etag ? known.body.deref() : undefined;
    if (kept) return { ...document, etag, body: kept };
    const json = document.contentType.includes(PROTOBUF) ? await own("/openapi/v2", "application/json") : document;
    const whole = merged(JSON.parse(textOf(json as Document)) as Swagger, others.map(({ v2 }) => v2?.document as Swagger));
    const body = json === document ? new TextEncoder().encode(JSON.stringify(whole)) : inProtobuf(whole);
    if (!body) return document;
    this.#made.set(document.contentType, { etag, body: new WeakRef(body) });
    return { ...document, etag, body };
  }

  /** Where a group-version's document of version 3 stands, if it has one. */
  async #findUrl(spec: ApiServiceSpec): Promise<string | undefined> {
    const { text = "{}" } = await this.read(spec, "/openapi/v3");
    const { paths = {} } = JSON.parse(text) as { paths?: Record<string, { serverRelativeURL?: string }> };
    return paths[keyOf(spec)]?.serverRelativeURL;
  }

  async #readV2({ spec, v2 }: Published): Promise<Published["v2"]> {
    const { text, etag } = await this.read(spec, "/openapi/v2", v2?.isTheirs ? v2.etag : undefined);
    if (text === undefined) return v2;
    const prefix = `/${keyOf(spec)}/`;
    const document = filtered(JSON.parse(text) as Swagger, (path) => path.startsWith(prefix));
    return { document, etag: etag ?? createHash("sha256").update(text).digest("hex"), isTheirs: etag !== undefined };
  }
}

/** The path of a group-version below the root, as OpenAPI's index names it. */
function keyOf({ group = "", version }: ApiServiceSpec): string {
  return `apis/${group}/${version}`;
}

/** Groups of higher priority first, within a group higher versions, then by name. */
function byPriority(all: readonly Published[]): (a: Published, b: Published) => number {
  const groups = new Map<string, number>();
  for (const { spec: { group = "", groupPriorityMinimum } } of all) groups.set(group, Math.max(groups.get(group) ?? 0, groupPriorityMinimum));
  const rank = ({ spec: { group = "" } }: Published): number => groups.get(group) ?? 0;
  return (a, b) => rank(b) - rank(a) || (a.spec.group === b.spec.group ? b.spec.versionPriority - a.spec.versionPriority : 0) || (keyOf(a.spec) < keyOf(b.spec) ? -1 : 1);
}

function inProtobuf(document: Swagger): Uint8Array | undefined {
  try {
    return encodeDocument(document as Record<string, unknown>);
  } catch (error) {
    log.debug({ err: error }, "documents of other servers have no form in protobuf");
    return undefined;
  }
}

function textOf({ body }: Document): string {
  return typeof body === "string" ? body : Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString();
}

async function orUndefined<T>(key: string, pending: Promise<T>): Promise<T | undefined> {
  try {
    return await pending;
  } catch (error) {
    log.debug({ err: error, key }, "no OpenAPI document is published");
    return undefined;
  }
}
