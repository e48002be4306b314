// The OpenAPI documents as bytes with their entity tags, made when asked for and kept only as long as memory is not needed.
// Which URL and media type gets which is the API server's business.
import { createHash } from "node:crypto";
import type { KindInfo } from "../../kinds.ts";
import { loadDocs } from "../data.ts";
import { definitionName, type Definitions } from "../node.ts";
import { documentV2, documentV3, documentsV3, type Sources } from "./documents.ts";
import { encodeDocument } from "./protobuf.ts";

/** A document as it is sent; the tag changes whenever the bytes would. */
export interface OpenApiDocument {
  readonly bytes: Uint8Array;
  /** Hex, without quotes. */
  readonly etag: string;
}

/** Writes the documents of the kinds that `kinds` returns at the time. */
export class OpenApi {
  readonly #documents = new Map<string, { etag: string; bytes: WeakRef<Uint8Array> }>();

  constructor(private readonly definitions: Definitions, private readonly kinds: () => readonly KindInfo[]) {}

  /** `/openapi/v2` as JSON. */
  v2Json(): OpenApiDocument {
    return this.#document("v2.json", this.kinds(), (sources) => encodeJson(documentV2(sources)));
  }

  /** `/openapi/v2` as gnostic protobuf. */
  v2Protobuf(): OpenApiDocument {
    return this.#document("v2.pb", this.kinds(), (sources) => encodeDocument(documentV2(sources)));
  }

  /** `/openapi/v3`: where every document is, with the hash that lets clients keep it for good. */
  v3Index(): OpenApiDocument {
    const kinds = this.kinds();
    return this.#document("v3", kinds, () => {
      const paths = documentsV3(kinds).map((path) => [path, { serverRelativeURL: `/openapi/v3/${path}?hash=${this.v3Hash(path)}` }]);
      return encodeJson({ paths: Object.fromEntries(paths) as Record<string, unknown> });
    });
  }

  /** `/openapi/v3/<path>`, such as `apis/apps/v1`; undefined when there is no such document. */
  v3(path: string): OpenApiDocument | undefined {
    const kinds = this.kinds();
    if (!documentsV3(kinds).includes(path)) return undefined;
    return this.#document(`v3/${path}`, kindsBehind(path, kinds), (sources) => encodeJson(documentV3({ ...sources, kinds }, path) ?? {}));
  }

  /** The hash of a document of version 3, which is its entity tag too. */
  v3Hash(path: string): string {
    return this.#etag(`v3/${path}`, kindsBehind(path, this.kinds()));
  }

  #document(name: string, kinds: readonly KindInfo[], make: (sources: Sources) => Uint8Array): OpenApiDocument {
    const etag = this.#etag(name, kinds);
    const kept = this.#documents.get(name);
    const known = kept?.etag === etag ? kept.bytes.deref() : undefined;
    if (known) return { bytes: known, etag };
    const bytes = make({ definitions: this.definitions, docs: loadDocs(), kinds });
    this.#documents.set(name, { etag, bytes: new WeakRef(bytes) });
    return { bytes, etag };
  }

  /** A document is a function of the schema and the kinds, so hashing those does without making it. */
  #etag(name: string, kinds: readonly KindInfo[]): string {
    return createHash("sha256").update(name).update(this.definitions.digest).update(JSON.stringify([kinds, kinds.map((kind) => this.definitions.published.get(definitionName(kind)))])).digest("hex").toUpperCase();
  }
}

/** The kinds that show in a document, on which its hash depends. */
function kindsBehind(path: string, kinds: readonly KindInfo[]): readonly KindInfo[] {
  return kinds.filter(({ group, version }) => path === (group === "" ? `api/${version}` : `apis/${group}/${version}`));
}

function encodeJson(value: Record<string, unknown>): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}
