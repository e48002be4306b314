// Writing tar archives in memory: what image layers and image archives need, nothing else.
// Reading archives is left to others.

/** One entry. `content` makes a file, `target` a symbolic link, neither a directory. Owned by 0:0 unless said otherwise. */
export interface TarEntry {
  readonly path: string;
  readonly content?: Uint8Array | string;
  readonly target?: string;
  /** Permission bits; 0o644 for files and 0o755 for directories where absent. */
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
}

const BLOCK = 512;
const NAME_BYTES = 100;

/** A complete ustar archive; the same entries always give the same bytes. Paths over 100 bytes use GNU long names. */
export function writeTar(entries: readonly TarEntry[]): Uint8Array {
  return Buffer.concat([...entries.flatMap(blocks), Buffer.alloc(2 * BLOCK)]);
}

function blocks(entry: TarEntry): Buffer[] {
  const content = entry.content === undefined ? Buffer.alloc(0) : Buffer.from(entry.content as Uint8Array);
  const isDirectory = entry.content === undefined && entry.target === undefined;
  const path = isDirectory && !entry.path.endsWith("/") ? `${entry.path}/` : entry.path;
  const type = entry.target !== undefined ? "2" : isDirectory ? "5" : "0";
  const mode = entry.mode ?? (type === "0" ? 0o644 : type === "2" ? 0o777 : 0o755);
  const fields = { path, type, mode, size: content.length, uid: entry.uid ?? 0, gid: entry.gid ?? 0, target: entry.target ?? "" };
  return [...longField(path, "L"), ...longField(fields.target, "K"), header(fields), padded(content)];
}

/** GNU's way for names that do not fit: an entry of its own that carries the name as content. */
function longField(value: string, type: "L" | "K"): Buffer[] {
  const bytes = Buffer.from(`${value}\0`);
  if (bytes.length - 1 <= NAME_BYTES) return [];
  return [header({ path: "././@LongLink", type, mode: 0o644, size: bytes.length, uid: 0, gid: 0, target: "" }), padded(bytes)];
}

function header(entry: { path: string; type: string; mode: number; size: number; uid: number; gid: number; target: string }): Buffer {
  const block = Buffer.alloc(BLOCK);
  const octal = (value: number, offset: number, length: number): void => void block.write(`${value.toString(8).padStart(length - 1, "0")}\0`, offset, "latin1");
  Buffer.from(entry.path).copy(block, 0, 0, NAME_BYTES);
  octal(entry.mode, 100, 8);
  octal(entry.uid, 108, 8);
  octal(entry.gid, 116, 8);
  octal(entry.size, 124, 12);
  octal(0, 136, 12);
  block.write("        ", 148, "latin1");
  block.write(entry.type, 156, "latin1");
  Buffer.from(entry.target).copy(block, 157, 0, NAME_BYTES);
  block.write("ustar\x0000", 257, "latin1");
  octal(block.reduce((sum, byte) => sum + byte, 0), 148, 7);
  return block;
}

function padded(content: Buffer): Buffer {
  const rest = content.length % BLOCK;
  return rest === 0 ? content : Buffer.concat([content, Buffer.alloc(BLOCK - rest)]);
}
