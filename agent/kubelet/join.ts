// How a machine becomes a node: trusts the authority the token pins, asks for a certificate, and keeps both.
// Run again it uses what it kept, so a restart needs neither the token nor a working signer.
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { connect, type DetailedPeerCertificate } from "node:tls";
import { dirname } from "node:path";
import { parse } from "yaml";
import { isApiError } from "../../api/errors.ts";
import { HttpClient } from "../../api/client/http.ts";
import { builtinKind } from "../../api/registry.ts";
import type { ConfigMap } from "../../api/types.ts";
import type { Clock } from "../../lib/clock.ts";
import { fingerprint } from "../../lib/fingerprint.ts";
import { logger } from "../../lib/log.ts";
import { identityPaths, RotatingCertificate, type Overdue } from "./identity.ts";

const log = logger("join");
const CSR = builtinKind("certificates.k8s.io", "v1", "CertificateSigningRequest");
const CONFIG_MAP = builtinKind("", "v1", "ConfigMap");
const CONNECT_TIMEOUT_MS = 10_000;

export interface JoinOptions {
  /** `https://host:port` */
  readonly server: string;
  /** `<id>.<secret>`; may be empty once the node has joined. */
  readonly token: string;
  /** SHA-256 of the authority's DER certificate in hex, from the join token. */
  readonly caSha256: string;
  readonly nodeName: string;
  readonly nodeIp: string;
  readonly dataDir: string;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** A node's standing in its cluster. */
export interface NodeIdentity {
  readonly server: string;
  readonly caPem: string;
  /** Shows who the node is; always asks for the current certificate. */
  readonly client: RotatingCertificate;
  /** What the node's own HTTPS server shows; empty until the cluster has issued it. */
  readonly serving: RotatingCertificate;
  /** Asks for a client certificate as on the first day, with the token given at start; rejects with JoinError when that no longer holds. */
  rejoin(): Promise<void>;
  /** A client that authenticates as the node. */
  connect(): HttpClient;
}

/** Joining failed in a way that trying again does not help; the message says what to do. */
export class JoinError extends Error {
  override readonly name = "JoinError";
}

/** Joins, or resumes an earlier join. Rejects with JoinError for a wrong token or authority. */
export async function join(options: JoinOptions): Promise<NodeIdentity> {
  const { server, nodeName, nodeIp, dataDir, clock, signal } = options;
  const paths = identityPaths(dataDir);
  const caPem = await trustedAuthority(options, paths.ca);
  const client = new RotatingCertificate({ path: paths.client, clock, request: { signerName: "kubernetes.io/kube-apiserver-client-kubelet", nodeName } });
  const serving = new RotatingCertificate({ path: paths.serving, clock, request: { signerName: "kubernetes.io/kubelet-serving", nodeName, dnsNames: [nodeName], ipAddresses: [nodeIp] } });
  if (!(await client.load())) await bootstrap(options, caPem, client);
  await serving.load();
  log.info({ server, node: nodeName }, "joined");
  signal.throwIfAborted();
  return { server, caPem, client, serving, rejoin: () => bootstrap(options, caPem, client), connect: () => new HttpClient({ server, caPem, clientCertificate: () => client.current, userAgent: "minik8s-kubelet" }) };
}

/** Keeps both certificates fresh until the signal aborts; `warn` is told, in a sentence, of one that ends soon all the same. */
export async function keepIdentity(identity: NodeIdentity, { client, warn }: { client: HttpClient; warn: (message: string) => void }, signal: AbortSignal): Promise<void> {
  const tell = (what: string) => ({ expiresAt, error }: Overdue): void => warn(`the ${what} certificate ends on ${dayOf(expiresAt)} and could not be renewed: ${error.message}`);
  const rejoin = async ({ expiresAt, error }: Overdue): Promise<void> => {
    tell("client")({ expiresAt, error });
    // Who it names nobody believes any more; the token, where it still holds, is as good as on the first day.
    if (identity.client.options.clock.now() > expiresAt) await identity.rejoin().catch((cause: unknown) => log.error({ err: cause }, "the node's certificate has ended; start the agent with a new token"));
  };
  await Promise.all([identity.client.keepFresh(client, signal, rejoin), identity.serving.keepFresh(client, signal, tell("serving"))]);
}

function dayOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}

const hasEnded = ({ current, ended }: RotatingCertificate): boolean => (current ?? ended) !== undefined;

function whyNeeded(certificate: RotatingCertificate): string {
  if (!hasEnded(certificate)) return "this machine has not joined a cluster yet";
  return `this machine's certificate ended${certificate.ended ? ` on ${dayOf(certificate.ended)}` : ""}, and only a new token lets it in again`;
}

async function bootstrap({ server, token, signal }: JoinOptions, caPem: string, certificate: RotatingCertificate): Promise<void> {
  if (token === "") throw new JoinError(`${whyNeeded(certificate)}: run \`minik8s token create\` on the control plane and pass what it prints as --token`);
  const client = new HttpClient({ server, caPem, token: () => token, userAgent: "minik8s-kubelet" });
  try {
    // Asked first and without a body: a server may close the connection on a refused body before its answer is read.
    await client.list(CSR, { limit: 1 }).catch((error: unknown) => {
      if (isApiError(error, 401)) throw error;
    });
    await certificate.renew(client, signal);
  } catch (error) {
    if (isApiError(error, 401)) throw new JoinError(`${hasEnded(certificate) ? `${whyNeeded(certificate)}; ` : ""}the join token is not valid (any more): make a new one with \`minik8s token create\` on the control plane`, { cause: error });
    throw error;
  } finally {
    client.close();
  }
}

/** The authority kept from an earlier join, or the server's, provided it is the one the token pins. */
async function trustedAuthority({ server, caSha256, signal }: JoinOptions, path: string): Promise<string> {
  const kept = await readFile(path, "utf8").catch(() => undefined);
  if (kept !== undefined && (caSha256 === "" || fingerprint(kept) === caSha256)) return kept;
  if (caSha256 === "") throw new JoinError("the join token names no authority: pass the whole token that `minik8s token create` printed");
  const trusted = await fetchTrustedAuthority({ server, caSha256, signal });
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await writeFile(path, trusted, { mode: 0o600 });
  return trusted;
}

/** The authority of the server at this URL, provided it has this fingerprint; rejects with JoinError otherwise. */
export async function fetchTrustedAuthority({ server, caSha256, signal }: Pick<JoinOptions, "server" | "caSha256" | "signal">): Promise<string> {
  const found = await fetchAuthorities(server, signal);
  const trusted = found.find((pem) => fingerprint(pem) === caSha256);
  if (!trusted) throw new JoinError(`${server} does not belong to the authority in the join token (SHA-256 ${caSha256.slice(0, 16)}...): check the address, or make a new token`);
  return trusted;
}

/** Every certificate the server offers as its authority. None of them is trusted yet. */
async function fetchAuthorities(server: string, signal: AbortSignal): Promise<string[]> {
  const [chain, published] = await Promise.allSettled([peerChain(server, signal), clusterInfo(server)]);
  const found = [...(chain.status === "fulfilled" ? chain.value : []), ...(published.status === "fulfilled" ? published.value : [])];
  if (found.length === 0 && chain.status === "rejected") throw new Error(`${server} cannot be reached: ${(chain.reason as Error).message}`, { cause: chain.reason });
  return found;
}

/** What the server shows in the TLS handshake, its authority among it when it sends the whole chain. */
function peerChain(server: string, signal: AbortSignal): Promise<string[]> {
  const { hostname, port } = new URL(server);
  const { promise, resolve, reject } = Promise.withResolvers<string[]>();
  const socket = connect({ host: hostname.replace(/^\[|\]$/g, ""), port: Number(port || 443), rejectUnauthorized: false, timeout: CONNECT_TIMEOUT_MS }, () => {
    const certificates: string[] = [];
    let at: DetailedPeerCertificate | undefined = socket.getPeerCertificate(true);
    while (at?.raw && certificates.length < 8) {
      certificates.push(toPem(at.raw));
      at = at.issuerCertificate === at ? undefined : at.issuerCertificate;
    }
    socket.end();
    resolve(certificates);
  });
  socket.on("error", reject);
  socket.on("timeout", () => socket.destroy(new Error("no answer in time")));
  signal.addEventListener("abort", () => socket.destroy(new Error("given up")), { once: true });
  return promise;
}

/** What the cluster publishes for joining machines in `kube-public/cluster-info`. */
async function clusterInfo(server: string): Promise<string[]> {
  const client = new HttpClient({ server, insecureSkipVerify: true });
  try {
    const info = await client.get<ConfigMap>(CONFIG_MAP, { namespace: "kube-public", name: "cluster-info" });
    const kubeconfig = parse(info.data?.["kubeconfig"] ?? "") as { clusters?: { cluster?: { "certificate-authority-data"?: string } }[] } | null;
    return (kubeconfig?.clusters ?? []).flatMap(({ cluster }) => cluster?.["certificate-authority-data"] ?? []).map((data) => Buffer.from(data, "base64").toString("utf8"));
  } finally {
    client.close();
  }
}

function toPem(der: Buffer): string {
  return `-----BEGIN CERTIFICATE-----\n${der.toString("base64").replace(/(.{64})(?!$)/g, "$1\n")}\n-----END CERTIFICATE-----\n`;
}
