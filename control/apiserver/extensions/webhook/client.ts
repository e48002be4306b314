// Calls webhooks: finds where a Service reference leads, verifies the other end against the bundle given, and speaks JSON.
// What is asked and what an answer means is the callers' business.
import { request as httpsRequest, Agent, type RequestOptions } from "node:https";
import { isIP } from "node:net";
import { ApiError, isNotFound } from "../../../../api/errors.ts";
import { locate } from "../../connect/location.ts";
import type { Engine } from "../../engine.ts";
import type { WebhookClientConfig } from "../crd/schema.ts";

/** One call. */
export interface WebhookCall {
  readonly config: WebhookClientConfig;
  readonly body: unknown;
  readonly timeoutSeconds: number;
}

/** Posts JSON to a webhook and answers what it says; throws with a sentence for whatever goes wrong. */
export type CallWebhook = (call: WebhookCall) => Promise<unknown>;

interface Place {
  /** As it is written in messages. */
  readonly url: URL;
  readonly host: string;
  readonly port: number;
}

const MAX_REPLY_BYTES = 16 * 1024 * 1024;
const MAX_TRUSTS = 64;
/** Kept connections by what they were verified against: one must not serve a webhook that trusts another authority. */
const agents = new Map<string, Agent>();

/** Calls webhooks on behalf of this API server; Services are resolved to an endpoint. */
export function webhookCaller(engine: () => Engine): CallWebhook {
  return async ({ config, body, timeoutSeconds }) => {
    const place = placeOf(engine(), config);
    place.url.searchParams.set("timeout", `${timeoutSeconds}s`);
    try {
      return await post(place, { config, text: JSON.stringify(body), timeoutSeconds });
    } catch (error) {
      if (error instanceof BadReply) throw error;
      throw new Error(`Post ${JSON.stringify(place.url.href)}: ${(error as Error).message}`, { cause: error });
    }
  };
}

/** The webhook was reached, and what it said cannot be used. */
class BadReply extends Error {
  override readonly name = "BadReply";
}

function placeOf(engine: Engine, { url, service }: WebhookClientConfig): Place {
  if (service) return servicePlace(engine, service);
  const parsed = new URL(url ?? "");
  return { url: parsed, host: parsed.hostname.replace(/^\[|\]$/g, ""), port: Number(parsed.port || 443) };
}

function servicePlace(engine: Engine, { namespace, name, path = "", port = 443 }: NonNullable<WebhookClientConfig["service"]>): Place {
  const rest = path === "" || path.startsWith("/") ? path : `/${path}`;
  const url = new URL(`https://${name}.${namespace}.svc:${port}${rest}`);
  const target = { type: "resource", verb: "create", group: "", version: "v1", plural: "services", namespace, name: `https:${name}:${port}`, subresource: "proxy", rest: "" } as const;
  try {
    const found = locate(engine, target, new URLSearchParams());
    if (found) return { url, host: found.host, port: found.port };
  } catch (error) {
    if (isNotFound(error)) throw new Error(`service ${JSON.stringify(name)} not found`, { cause: error });
    if (!(error instanceof ApiError) || !error.message.startsWith("no endpoints")) throw error;
  }
  throw new Error(`no endpoints available for service ${JSON.stringify(name)}`);
}

function agentFor(trust: string): Agent {
  const known = agents.get(trust);
  if (known) return known;
  const agent = new Agent({ keepAlive: true, maxSockets: 64, timeout: 60_000 });
  agents.set(trust, agent);
  const [oldest] = agents.keys();
  if (agents.size > MAX_TRUSTS && oldest !== undefined) {
    agents.get(oldest)?.destroy();
    agents.delete(oldest);
  }
  return agent;
}

function post({ url, host, port }: Place, { config, text, timeoutSeconds }: { config: WebhookClientConfig; text: string; timeoutSeconds: number }): Promise<unknown> {
  const ca = config.caBundle ? Buffer.from(config.caBundle, "base64").toString() : undefined;
  const serverName = url.hostname.replace(/^\[|\]$/g, "");
  const options: RequestOptions = {
    // Said outright: no setting of the environment may turn verification off.
    rejectUnauthorized: true,
    host, port, method: "POST", path: `${url.pathname}${url.search}`, agent: agentFor(`${serverName}\n${ca ?? ""}`), ...(ca && { ca }), ...(isIP(serverName) === 0 && { servername: serverName }),
    headers: { host: url.host, "content-type": "application/json", accept: "application/json, */*", "content-length": Buffer.byteLength(text), "user-agent": "kube-apiserver-admission" },
  };
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => outgoing.destroy(new Error("context deadline exceeded")), timeoutSeconds * 1000);
    const fail = (error: Error): void => {
      clearTimeout(timer);
      reject(wordOf(error));
    };
    const outgoing = httpsRequest(options, (response) => {
      const chunks: Buffer[] = [];
      let size = 0;
      response.on("data", (chunk: Buffer) => {
        size += chunk.length;
        if (size > MAX_REPLY_BYTES) outgoing.destroy(new Error("the reply is too large"));
        else chunks.push(chunk);
      });
      response.on("error", fail);
      response.on("end", () => {
        clearTimeout(timer);
        const answer = Buffer.concat(chunks).toString();
        if ((response.statusCode ?? 0) >= 300) return reject(new BadReply(`the server responded with the status code ${response.statusCode} but did not return more information`));
        try {
          resolve(JSON.parse(answer));
        } catch (error) {
          reject(new BadReply(`couldn't get version/kind; json parse error: ${(error as Error).message}`));
        }
      });
    });
    outgoing.on("error", fail);
    outgoing.end(text);
  });
}

/** Go's words for what people search for. */
function wordOf(error: Error): Error {
  const { code = "", address, port } = error as Error & { code?: string; address?: string; port?: number };
  if (code === "ECONNREFUSED") return new Error(`dial tcp ${address ?? ""}:${port ?? ""}: connect: connection refused`, { cause: error });
  if (code.includes("SELF_SIGNED") || code.includes("UNABLE_TO_VERIFY") || code.includes("UNABLE_TO_GET_ISSUER")) return new Error("tls: failed to verify certificate: x509: certificate signed by unknown authority", { cause: error });
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") return new Error(`tls: failed to verify certificate: x509: ${error.message}`, { cause: error });
  return error;
}
