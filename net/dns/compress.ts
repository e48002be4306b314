// Shorter DNS messages: names of records as pointers to where they were spelled before, and what to leave out when even that is too long.
// The codec in use writes every name in full; 512 bytes of UDP then hold eight addresses instead of twenty-eight.
import { decode, encode, type Answer, type DecodedPacket } from "dns-packet";
import { HEADER_BYTES, questionBytes } from "./upstream.ts";

/** Offsets above this do not fit a pointer. */
const MAX_POINTER = 0x3fff;
const RECORD_FIELDS_BYTES = 10;
const TRUNCATED = 0x0200;

/** The same message with the names of its records compressed; a message that has compressed names already is returned as it is. */
export function compress(message: Buffer): Buffer {
  const question = questionBytes(message);
  if (message.readUInt16BE(4) !== 1) return message;
  const known = new Map<string, number>();
  const parts: Buffer[] = [message.subarray(0, HEADER_BYTES + question.length)];
  let written = HEADER_BYTES + question.length;
  remember(labelsOf(message, HEADER_BYTES) ?? [], HEADER_BYTES, known);
  for (let offset = written; offset < message.length; ) {
    const labels = labelsOf(message, offset);
    if (!labels) return message;
    const nameEnd = offset + labels.reduce((sum, label) => sum + label.length + 1, 1);
    const end = nameEnd + RECORD_FIELDS_BYTES + message.readUInt16BE(nameEnd + RECORD_FIELDS_BYTES - 2);
    const name = shortest(labels, known);
    remember(labels, written, known);
    parts.push(name, message.subarray(nameEnd, end));
    written += name.length + end - nameEnd;
    offset = end;
  }
  return Buffer.concat(parts);
}

/** A reply that fits: first without records nobody asked for, then marked as truncated with as many answers as there is room for. */
export function fit(reply: Buffer, maxBytes: number): Buffer {
  if (reply.length <= maxBytes) return reply;
  let packet: DecodedPacket;
  try {
    packet = decode(reply);
  } catch {
    return headOnly(reply);
  }
  const options = (packet.additionals ?? []).filter((record) => record.type === "OPT");
  const flags = reply.readUInt16BE(2) & 0x7fff;
  const shorter = (answers: readonly Answer[], extraFlags = 0): Buffer => compress(encode({ ...packet, type: "response", flags: flags | extraFlags, answers: [...answers], additionals: options, authorities: extraFlags ? [] : (packet.authorities ?? []) }));
  const answers = packet.answers ?? [];
  const whole = shorter(answers);
  if (whole.length <= maxBytes) return whole;
  for (let count = Math.min(answers.length, Math.floor((maxBytes / whole.length) * answers.length) + 1); count > 0; count--) {
    const part = shorter(answers.slice(0, count), TRUNCATED);
    if (part.length <= maxBytes) return part;
  }
  return headOnly(reply);
}

function headOnly(reply: Buffer): Buffer {
  const head = Buffer.concat([reply.subarray(0, HEADER_BYTES), questionBytes(reply)]);
  head.writeUInt16BE(head.readUInt16BE(2) | TRUNCATED, 2);
  head.fill(0, 6, HEADER_BYTES);
  return head;
}

/** A name's labels; undefined when it is compressed. */
function labelsOf(message: Buffer, start: number): Buffer[] | undefined {
  const labels: Buffer[] = [];
  for (let offset = start; offset < message.length && message[offset] !== 0; offset += (message[offset] as number) + 1) {
    if ((message[offset] as number) > 63) return undefined;
    labels.push(message.subarray(offset + 1, offset + 1 + (message[offset] as number)));
  }
  return labels;
}

function remember(labels: readonly Buffer[], start: number, known: Map<string, number>): void {
  let offset = start;
  for (let index = 0; index < labels.length && offset <= MAX_POINTER; index++) {
    const suffix = suffixOf(labels, index);
    // The rest of this name was a pointer: what follows was spelled elsewhere.
    if (known.has(suffix)) return;
    known.set(suffix, offset);
    offset += (labels[index] as Buffer).length + 1;
  }
}

function shortest(labels: readonly Buffer[], known: ReadonlyMap<string, number>): Buffer {
  const parts: Buffer[] = [];
  for (let index = 0; index < labels.length; index++) {
    const pointer = known.get(suffixOf(labels, index));
    if (pointer !== undefined) return Buffer.concat([...parts, Buffer.from([0xc0 | (pointer >> 8), pointer & 255])]);
    const label = labels[index] as Buffer;
    parts.push(Buffer.from([label.length]), label);
  }
  return Buffer.concat([...parts, Buffer.from([0])]);
}

function suffixOf(labels: readonly Buffer[], from: number): string {
  return labels.slice(from).map((label) => label.toString("latin1")).join(".");
}
