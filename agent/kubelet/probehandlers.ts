// One probe of one container: exec, HTTP, TCP or gRPC, with upstream's words for what went wrong.
// When to probe and what a result means is `probes.ts`'s.
import { connect } from "node:net";
import { Client as GrpcClient, credentials, status as grpcStatus, type ServiceError } from "@grpc/grpc-js";
import type { Container, Probe } from "../../api/types.ts";
import { RuntimeError, type Streaming } from "../runtime/runtime.ts";
import { expand } from "./expand.ts";
import { headersOf, httpUrl, portOf } from "./hooks.ts";

export type ProbeOutcome = { readonly result: "success" | "failure" | "warning"; readonly output: string };

export interface ProbeTarget {
  readonly probe: Probe;
  readonly container: Container;
  readonly containerId: string;
  readonly podIp: string;
}

const MAX_OUTPUT_BYTES = 10 * 1024;
const MAX_REDIRECTS = 10;
const USER_AGENT = "kube-probe/1.36";

/** Runs the probe once; rejects only when it could not be run at all (a bad port name, an unreachable runtime). */
export async function runProbe(streaming: Streaming, target: ProbeTarget): Promise<ProbeOutcome> {
  const timeoutMs = (target.probe.timeoutSeconds ?? 1) * 1000;
  const { exec, httpGet, tcpSocket, grpc } = target.probe;
  if (exec) return execProbe(streaming, target, timeoutMs);
  if (httpGet) return httpProbe(target, timeoutMs);
  if (tcpSocket) return tcpProbe(tcpSocket.host || target.podIp, portOf(tcpSocket.port, target.container), timeoutMs);
  if (grpc) return grpcProbe({ host: target.podIp, port: grpc.port, service: grpc.service ?? "", timeoutMs });
  throw new Error(`missing probe handler for ${target.container.name}`);
}

async function execProbe(streaming: Streaming, { probe, container, containerId }: ProbeTarget, timeoutMs: number): Promise<ProbeOutcome> {
  const values = new Map((container.env ?? []).map(({ name, value }) => [name, value ?? ""]));
  const command = (probe.exec?.command ?? []).map((part) => expand(part, (name) => values.get(name)));
  try {
    const { exitCode, output } = await streaming.execSync(containerId, command, { timeoutMs, maxBytes: MAX_OUTPUT_BYTES });
    return { result: exitCode === 0 ? "success" : "failure", output };
  } catch (error) {
    if (!(error instanceof RuntimeError) || error.reason !== "Timeout") throw error;
    return { result: "failure", output: `command timed out: "${command.join(" ")}" timed out after ${timeoutMs / 1000}s` };
  }
}

async function httpProbe({ probe, container, podIp }: ProbeTarget, timeoutMs: number): Promise<ProbeOutcome> {
  const get = probe.httpGet;
  if (!get) throw new Error("no HTTP probe");
  const url = httpUrl(get, container, podIp);
  const given = headersOf(get).filter(([, value]) => value !== "");
  const has = (name: string): boolean => headersOf(get).some(([key]) => key.toLowerCase() === name);
  const headers: [string, string][] = [...(has("user-agent") ? [] : [["User-Agent", USER_AGENT] as [string, string]]), ...(has("accept") ? [] : [["Accept", "*/*"] as [string, string]]), ...given];
  try {
    return await request(url, { headers, signal: AbortSignal.timeout(timeoutMs), redirects: MAX_REDIRECTS });
  } catch (error) {
    return { result: "failure", output: `Get "${url}": ${httpFailure(error as Error, url)}` };
  }
}

async function request(url: string, options: { headers: [string, string][]; signal: AbortSignal; redirects: number }): Promise<ProbeOutcome> {
  const response = await fetch(url, { headers: options.headers, signal: options.signal, redirect: "manual", keepalive: false, tls: { rejectUnauthorized: false } });
  const location = response.headers.get("location");
  if (response.status >= 300 && response.status < 400 && location !== null) {
    await response.body?.cancel();
    const next = new URL(location, url);
    // Leaving the pod would probe somebody else.
    if (next.hostname !== new URL(url).hostname) return { result: "warning", output: "Probe terminated redirects, Response body: " };
    if (options.redirects === 0) throw new Error("stopped after 10 redirects");
    return request(next.href, { ...options, redirects: options.redirects - 1 });
  }
  await response.body?.cancel();
  if (response.status >= 200 && response.status < 400) return { result: "success", output: "" };
  return { result: "failure", output: `HTTP probe failed with statuscode: ${response.status}` };
}

function httpFailure(error: Error & { code?: string }, url: string): string {
  if (error.name === "TimeoutError") return "context deadline exceeded (Client.Timeout exceeded while awaiting headers)";
  if (error.code === "ConnectionRefused" || error.code === "ECONNREFUSED") return `dial tcp ${new URL(url).host}: connect: connection refused`;
  if (error.code === "ECONNRESET" || error.code === "ConnectionClosed") return "EOF";
  if (error.code === "EPROTO") return "tls: first record does not look like a TLS handshake";
  return error.message;
}

function tcpProbe(host: string, port: number, timeoutMs: number): Promise<ProbeOutcome> {
  const { promise, resolve } = Promise.withResolvers<ProbeOutcome>();
  const where = `dial tcp ${host.includes(":") ? `[${host}]` : host}:${port}`;
  const socket = connect({ host, port, timeout: timeoutMs }, () => end({ result: "success", output: "" }));
  const end = (outcome: ProbeOutcome): void => {
    // A reset, not a close: thousands of probes must not leave sockets in TIME_WAIT.
    socket.resetAndDestroy?.();
    socket.destroy();
    resolve(outcome);
  };
  socket.on("timeout", () => end({ result: "failure", output: `${where}: i/o timeout` }));
  socket.on("error", (error: Error & { code?: string }) => end({ result: "failure", output: `${where}: ${error.code === "ECONNREFUSED" ? "connect: connection refused" : error.code === "EHOSTUNREACH" ? "connect: no route to host" : error.message}` }));
  return promise;
}

interface GrpcTarget {
  readonly host: string;
  readonly port: number;
  readonly service: string;
  readonly timeoutMs: number;
}

/** The health protocol's two messages have one field each, so they are written and read by hand. */
function grpcProbe({ host, port, service, timeoutMs }: GrpcTarget): Promise<ProbeOutcome> {
  const address = `${host.includes(":") ? `[${host}]` : host}:${port}`;
  const client = new GrpcClient(address, credentials.createInsecure(), { "grpc.primary_user_agent": USER_AGENT });
  const { promise, resolve } = Promise.withResolvers<ProbeOutcome>();
  const fail = (output: string): void => resolve({ result: "failure", output });
  const deadline = new Date(Date.now() + timeoutMs);
  client.waitForReady(deadline, (connectError) => {
    if (connectError) return fail(`timeout: failed to connect service "${address}" within ${timeoutMs / 1000}s: context deadline exceeded`);
    client.makeUnaryRequest("/grpc.health.v1.Health/Check", encodeService, decodeStatus, service, { deadline }, (error: ServiceError | null, state?: number) => {
      if (!error) return state === 1 ? resolve({ result: "success", output: "service healthy" }) : fail(`service unhealthy (responded with "${["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"][state ?? 0] ?? state}")`);
      if (error.code === grpcStatus.UNIMPLEMENTED) return fail(`error: this server does not implement the grpc health protocol (grpc.health.v1.Health): ${error.details}`);
      if (error.code === grpcStatus.DEADLINE_EXCEEDED) return fail(`timeout: health rpc did not complete within ${timeoutMs / 1000}s`);
      return fail(`error: health rpc probe failed: rpc error: code = ${codeName(error.code)} desc = ${error.details}`);
    });
  });
  return promise.finally(() => client.close());
}

function codeName(code: number): string {
  const name = grpcStatus[code] ?? String(code);
  return name.split("_").map((word) => word[0] + word.slice(1).toLowerCase()).join("");
}

function encodeService(service: string): Buffer {
  const name = Buffer.from(service);
  return name.length === 0 ? Buffer.alloc(0) : Buffer.concat([Buffer.from([0x0a, name.length]), name]);
}

function decodeStatus(message: Buffer): number {
  return message[0] === 0x08 ? (message[1] ?? 0) : 0;
}
