// Reads a kubeconfig file into what a client needs to reach its current context.
// Credential plugins are not run: certificates, tokens and token files are understood.
import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { parse } from "yaml";
import type { HttpClientOptions } from "./http.ts";
import { tokenFromFile, type ClientCertificate } from "./transport.ts";

/** The file cannot be used; the message says what in it is missing. */
export class KubeconfigError extends Error {
  override readonly name = "KubeconfigError";
}

interface Cluster { server?: string; "certificate-authority"?: string; "certificate-authority-data"?: string; "insecure-skip-tls-verify"?: boolean; "tls-server-name"?: string }
interface User { "client-certificate"?: string; "client-certificate-data"?: string; "client-key"?: string; "client-key-data"?: string; token?: string; tokenFile?: string }
interface Context { cluster?: string; user?: string; namespace?: string }
interface File {
  "current-context"?: string;
  clusters?: { name: string; cluster?: Cluster }[];
  users?: { name: string; user?: User }[];
  contexts?: { name: string; context?: Context }[];
}

/** Options for `HttpClient`, and the context's namespace. Certificate and token files are read again when they change. */
export function loadKubeconfig(path: string, contextName?: string): HttpClientOptions & { readonly namespace: string } {
  const file = read(path);
  const wanted = contextName ?? file["current-context"] ?? "";
  const context = file.contexts?.find(({ name }) => name === wanted)?.context;
  if (!context) throw new KubeconfigError(`${path}: no context named ${JSON.stringify(wanted)}`);
  const cluster = file.clusters?.find(({ name }) => name === context.cluster)?.cluster;
  if (!cluster?.server) throw new KubeconfigError(`${path}: cluster ${JSON.stringify(context.cluster ?? "")} has no server`);
  const user = file.users?.find(({ name }) => name === context.user)?.user ?? {};
  const base = dirname(path);
  return {
    server: cluster.server,
    caPem: textOf(cluster["certificate-authority-data"], cluster["certificate-authority"], base),
    insecureSkipVerify: cluster["insecure-skip-tls-verify"] ?? false,
    tlsServerName: cluster["tls-server-name"],
    clientCertificate: () => certificateOf(user, base),
    token: user.tokenFile ? tokenFromFile(resolve(base, user.tokenFile)) : () => user.token,
    namespace: context.namespace ?? "default",
  };
}

function read(path: string): File {
  try {
    return (parse(readFileSync(path, "utf8")) ?? {}) as File;
  } catch (error) {
    throw new KubeconfigError(`${path}: ${(error as Error).message}`, { cause: error });
  }
}

function certificateOf(user: User, base: string): ClientCertificate | undefined {
  const certPem = textOf(user["client-certificate-data"], user["client-certificate"], base);
  const keyPem = textOf(user["client-key-data"], user["client-key"], base);
  return certPem && keyPem ? { certPem, keyPem } : undefined;
}

function textOf(base64: string | undefined, path: string | undefined, base: string): string | undefined {
  if (base64) return Buffer.from(base64, "base64").toString("utf8");
  return path ? readFileSync(resolve(base, path), "utf8") : undefined;
}
