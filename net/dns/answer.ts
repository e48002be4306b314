// One DNS message in, one out: the cluster's names from the zone, all others through the forwarder.
// Knows nothing of sockets.
import { AUTHORITATIVE_ANSWER, decode, encode, RECURSION_AVAILABLE, RECURSION_DESIRED, type Answer, type DecodedPacket, type Packet, type Question } from "dns-packet";
import { compress } from "./compress.ts";
import { questionBytes } from "./upstream.ts";
import { authority, lookup, type ClusterView, type ZoneOptions, type ZoneReply } from "./zone.ts";

/** Asks resolvers outside. */
export interface Outside {
  forward(message: Buffer, query: DecodedPacket): Promise<Buffer>;
}

export interface ResponderOptions extends ZoneOptions {
  readonly view: ClusterView;
  readonly outside: Outside;
  /** Changes with the cluster, so that secondaries and eyes see movement. */
  readonly serial: () => number;
  /** A name that only ever comes back to us in a loop. */
  readonly onLoop: (name: string) => boolean;
}

const RCODE = { noError: 0, formatError: 1, serverFailure: 2, noSuchName: 3, notImplemented: 4, refused: 5 } as const;
const MAX_ALIASES = 8;

/** The reply to a message; undefined when it is too broken to answer. Never rejects. */
export async function respond(message: Buffer, options: ResponderOptions): Promise<Buffer | undefined> {
  let query: DecodedPacket;
  try {
    query = decode(message);
  } catch {
    return message.length >= 12 && !isReply(message) ? failure(message, RCODE.formatError) : undefined;
  }
  if (query.flag_qr) return undefined;
  const question = query.questions?.[0];
  if ((query as { opcode?: string }).opcode !== "QUERY") return failure(message, RCODE.notImplemented);
  if (!question || query.questions?.length !== 1) return failure(message, RCODE.formatError);
  if (options.onLoop(question.name)) return failure(message, RCODE.refused);
  const inside = question.class === "IN" ? lookup(options.view, canonical(question.name), question.type, options) : undefined;
  try {
    if (!inside) return await options.outside.forward(message, query);
    return compress(encode(await replyTo({ query, question, reply: inside }, options)));
  } catch {
    return failure(message, RCODE.serverFailure);
  }
}

async function replyTo({ query, question, reply }: { query: DecodedPacket; question: Question; reply: ZoneReply }, options: ResponderOptions): Promise<Packet> {
  const resolved = reply.kind === "alias" && question.type !== "CNAME" ? await follow({ query, question, alias: reply }, options) : { answers: reply.kind === "absent" ? [] : reply.answers, code: reply.kind === "absent" ? RCODE.noSuchName : RCODE.noError };
  const extended = (query.additionals ?? []).some((record) => record.type === "OPT");
  return {
    id: query.id, type: "response",
    flags: AUTHORITATIVE_ANSWER | RECURSION_AVAILABLE | (query.flag_rd ? RECURSION_DESIRED : 0) | resolved.code,
    questions: [question],
    // The name as the client spelled it: some vary the case and compare.
    answers: shuffled(resolved.answers).map((answer) => (canonical(answer.name) === canonical(question.name) ? { ...answer, name: question.name } : answer)),
    authorities: resolved.answers.length === 0 ? [authority(options, options.serial())] : [],
    additionals: [...(reply.kind === "records" ? reply.additionals : []), ...(extended ? [OPT] : [])],
  };
}

interface Alias {
  readonly query: DecodedPacket;
  readonly question: Question;
  readonly alias: Extract<ZoneReply, { kind: "alias" }>;
}

/** An ExternalName's target, resolved here or outside; the alias alone when that fails. */
async function follow({ query, question, alias }: Alias, options: ResponderOptions): Promise<{ answers: readonly Answer[]; code: number }> {
  const answers: Answer[] = [...alias.answers];
  let target = alias.target;
  for (let step = 0; step < MAX_ALIASES; step++) {
    const inside = lookup(options.view, target, question.type, options);
    if (!inside) return { answers: [...answers, ...(await askOutside(target, query, options))], code: RCODE.noError };
    if (inside.kind === "absent") break;
    answers.push(...inside.answers);
    if (inside.kind === "records") break;
    target = inside.target;
  }
  return { answers, code: RCODE.noError };
}

async function askOutside(name: string, query: DecodedPacket, { outside }: ResponderOptions): Promise<Answer[]> {
  const question: Question = { name, type: query.questions?.[0]?.type ?? "A", class: "IN" };
  const message = encode({ type: "query", id: 0, flags: RECURSION_DESIRED, questions: [question] });
  try {
    return decode(await outside.forward(Buffer.from(message), decode(message))).answers ?? [];
  } catch {
    return [];
  }
}

/** Address records in random order: clients mostly take the first. Aliases stay before what they lead to. */
function shuffled(answers: readonly Answer[]): Answer[] {
  if (answers.some((answer) => answer.type === "CNAME")) return [...answers];
  return answers.map((answer) => ({ answer, order: Math.random() })).sort((a, b) => a.order - b.order).map(({ answer }) => answer);
}

/** A reply of nothing but the header and, where it can be kept, the question. */
function failure(message: Buffer, code: number): Buffer {
  const reply = Buffer.alloc(12);
  message.copy(reply, 0, 0, 2);
  reply.writeUInt16BE(0x8000 | (message.readUInt16BE(2) & 0x7900) | RECURSION_AVAILABLE | code, 2);
  if (code === RCODE.formatError) return reply;
  reply.writeUInt16BE(1, 4);
  return Buffer.concat([reply, questionBytes(message)]);
}

const OPT = { type: "OPT", name: ".", udpPayloadSize: 1232, extendedRcode: 0, ednsVersion: 0, flags: 0, flag_do: false, options: [] } as unknown as Answer;

function isReply(message: Buffer): boolean {
  return ((message[2] as number) & 0x80) !== 0;
}

function canonical(name: string): string {
  return name.toLowerCase().replace(/\.$/, "");
}
