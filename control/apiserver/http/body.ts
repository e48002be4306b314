// Reads and parses request bodies, with the API server's limit and its words for what is wrong with them.
import { badRequest, requestTooLarge } from "../../../api/errors.ts";
import type { Request } from "./exchange.ts";
import { parseYaml, YAMLParseError } from "./yaml.ts";

/** The most a request body may hold, in bytes. */
export const MAX_BODY_BYTES = 3 * 1024 * 1024;

/** The whole body; throws 413 beyond the limit. */
export function readBody(request: Request): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    if (Number(request.headers["content-length"] ?? 0) > MAX_BODY_BYTES) return reject(tooLarge());
    const chunks: Buffer[] = [];
    let size = 0;
    request.on("data", (chunk: Buffer) => {
      size += chunk.length;
      if (size > MAX_BODY_BYTES) reject(tooLarge());
      else chunks.push(chunk);
    });
    request.on("end", () => resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks)));
    request.on("error", reject);
    request.on("aborted", () => reject(badRequest("the client closed the connection before the body was complete")));
  });
}

/** Parses a body; throws 400 naming what is wrong. */
export function parseBody(body: Buffer, format: "json" | "yaml"): unknown {
  return format === "json" ? parseJson(body) : parseYamlText(body.toString());
}

/** Parses JSON; throws 400 in upstream's words. */
export function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString()) as unknown;
  } catch (error) {
    throw badRequest(`the object provided is unrecognized (must be of type JSON): couldn't get version/kind; json parse error: ${(error as Error).message}`);
  }
}

/** Parses one YAML document, JSON included; throws 400 in upstream's words. */
export function parseYamlText(text: string): unknown {
  try {
    return parseYaml(text);
  } catch (error) {
    const line = error instanceof YAMLParseError ? error.linePos?.[0].line : undefined;
    throw badRequest(`error converting YAML to JSON: yaml: ${line === undefined ? "" : `line ${line}: `}${(error as Error).message.split("\n")[0]}`);
  }
}

function tooLarge(): Error {
  return requestTooLarge(`Request entity too large: limit is ${MAX_BODY_BYTES}`);
}
