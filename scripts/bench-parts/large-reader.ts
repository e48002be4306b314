// Reads a large list in a process of its own, so that reading it delays nobody who measures.
import type { BigList } from "./large.ts";

const { url, token, list } = JSON.parse(process.argv[2] ?? "") as { url: string; token: string; list: BigList };
let next: string | undefined;
do {
  const query = `${list.query}${next ? `&continue=${encodeURIComponent(next)}` : ""}`;
  const reply = await fetch(`${url}?${query}`, { headers: { "accept-encoding": "identity", ...list.headers, authorization: `Bearer ${token}` }, tls: { rejectUnauthorized: false } });
  if (!reply.ok) throw new Error(`${reply.status} ${await reply.text()}`);
  next = undefined;
  if (list.isChunked) next = ((await reply.json()) as { metadata: { continue?: string } }).metadata.continue;
  else for await (const _ of reply.body as ReadableStream<Uint8Array>);
} while (next);
