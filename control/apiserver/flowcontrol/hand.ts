// Shuffle sharding: which few of many queues a flow may use, drawn from the hash of who it is.
// Two flows rarely share all their queues, so one that floods its own leaves another a way through.
import { createHash } from "node:crypto";

/** A flow's number; 60 bits of it are used, as much as the largest hand upstream allows takes. */
export function hashOf(schema: string, distinguisher: string): bigint {
  return createHash("sha256").update(schema).update("\0").update(distinguisher).digest().readBigUInt64LE();
}

/** `size` different numbers below `queues`, the same for the same hash. */
export function dealHand(hash: bigint, queues: number, size: number): number[] {
  const hand: number[] = [];
  let rest = hash;
  for (let dealt = 0; dealt < size; dealt++) {
    const left = BigInt(queues - dealt);
    let card = Number(rest % left);
    rest /= left;
    // Cards in hand are skipped: counting only those still in the deck.
    for (const held of [...hand].sort((a, b) => a - b)) if (card >= held) card++;
    hand.push(card);
  }
  return hand;
}
