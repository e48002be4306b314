// GET /logs/: the node's own log directory, as plain files and listings.
// Containers' logs have a handler of their own.
import { createReadStream } from "node:fs";
import { readdir, realpath, stat } from "node:fs/promises";
import type { ServerResponse } from "node:http";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { NodeRequestError } from "./containers.ts";

const ROOT = "/var/log";

/** Serves a file or a listing; 404 for anything that is not below the log directory, links followed. */
export async function serveNodeLogs(path: string, response: ServerResponse, root = ROOT): Promise<void> {
  const target = await realpath(join(root, path)).catch(() => undefined);
  const base = await realpath(root).catch(() => root);
  if (target === undefined || (target !== base && !target.startsWith(`${base}/`))) throw new NodeRequestError(404, "404 page not found\n");
  const found = await stat(target);
  if (found.isDirectory()) return sendListing(target, response);
  if (!found.isFile()) throw new NodeRequestError(404, "404 page not found\n");
  response.writeHead(200, { "content-type": "text/plain; charset=utf-8", "content-length": found.size });
  // A log grows while it is sent; the length was promised.
  await pipeline(createReadStream(target, { end: Math.max(0, found.size - 1) }), response).catch(() => response.destroy());
}

async function sendListing(directory: string, response: ServerResponse): Promise<void> {
  const entries = (await readdir(directory, { withFileTypes: true })).map((entry) => (entry.isDirectory() ? `${entry.name}/` : entry.name)).sort();
  response.writeHead(200, { "content-type": "text/html; charset=utf-8" });
  response.end(`<pre>\n${entries.map((name) => `<a href="${encodeURI(name)}">${Bun.escapeHTML(name)}</a>\n`).join("")}</pre>\n`);
}
