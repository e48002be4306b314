// SPDY/3 header blocks: name-value lists in one zlib stream per direction, primed with the protocol's dictionary.
// Frames around them are `frames.ts`.
import { constants, inflateRawSync } from "node:zlib";

export type SpdyHeaders = Readonly<Record<string, string>>;

// The dictionary is part of the protocol: length-prefixed words, then text (SPDY/3, section 2.6.10.1).
const WORDS = "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow authorization cache-control connection content-base content-encoding content-language content-length content-location content-md5 content-range content-type date etag expect expires from host if-match if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url public set-cookie keep-alive origin"
  .split(" ").map((word) => word.replace("_", " "));
const TEXT = "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";

/** The 1423 bytes both ends know. */
export const DICTIONARY: Buffer = Buffer.concat([...WORDS.map(withLength), Buffer.from(TEXT)]);

const WINDOW_BYTES = 32 * 1024;
const ZLIB_HEADER = zlibHeader();
const MAX_STORED_BYTES = 0xffff;
/** More than any honest peer sends; keeps a hostile one from filling memory. */
const MAX_HEADER_BYTES = 64 * 1024;

/** Writes header blocks. They are stored, not compressed: every inflater takes that, and no state is needed. */
export class HeaderWriter {
  #started = false;

  encode(headers: SpdyHeaders): Buffer {
    const entries = Object.entries(headers);
    const plain = Buffer.concat([uint32(entries.length), ...entries.flatMap(([name, value]) => [withLength(name.toLowerCase()), withLength(value)])]);
    if (plain.length > MAX_STORED_BYTES) throw new RangeError(`a SPDY header block of ${plain.length} bytes is too large`);
    const header = this.#started ? Buffer.alloc(0) : ZLIB_HEADER;
    this.#started = true;
    // The empty block is what a sync flush ends with; peers wait for it before they hand out what came before.
    return Buffer.concat([header, stored(plain), stored(Buffer.alloc(0))]);
  }
}

/** Reads header blocks in the order they came. */
export class HeaderReader {
  #window = DICTIONARY;
  #started = false;

  /** Throws on anything that is not a header block. */
  decode(block: Buffer): SpdyHeaders {
    // A zlib header, and the dictionary's checksum when its bit says so, come before the first block only.
    const skip = this.#started ? 0 : ((block[1] ?? 0) & 0x20) !== 0 ? 6 : 2;
    this.#started = true;
    // Each block ends with a sync flush, so it can be inflated alone, given what came before as dictionary.
    const plain = inflateRawSync(block.subarray(skip), { dictionary: this.#window, finishFlush: constants.Z_SYNC_FLUSH, maxOutputLength: MAX_HEADER_BYTES });
    this.#window = Buffer.concat([this.#window, plain]).subarray(-WINDOW_BYTES);
    return parsePairs(plain);
  }
}

function parsePairs(plain: Buffer): SpdyHeaders {
  let offset = 0;
  const number = (): number => plain.readUInt32BE((offset += 4) - 4);
  const text = (): string => {
    const length = number();
    if (offset + length > plain.length) throw new RangeError("a SPDY header block ends within a value");
    return plain.toString("utf8", offset, (offset += length));
  };
  return Object.fromEntries(Array.from({ length: Math.min(number(), plain.length / 8) }, () => [text(), text()]));
}

function stored(content: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt16LE(content.length, 1);
  head.writeUInt16LE(~content.length & 0xffff, 3);
  return Buffer.concat([head, content]);
}

function zlibHeader(): Buffer {
  let a = 1;
  let b = 0;
  for (const byte of DICTIONARY) {
    a = (a + byte) % 65521;
    b = (b + a) % 65521;
  }
  const header = Buffer.from([0x78, 0xbb, 0, 0, 0, 0]);
  header.writeUInt32BE(b * 65536 + a, 2);
  return header;
}

function withLength(text: string): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([uint32(bytes.length), bytes]);
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
