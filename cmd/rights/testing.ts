// A whole API server for tests of who may what, and every question its discovery lets one ask.
// Never part of the product.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Transport, type ClientCertificate } from "../../api/client/transport.ts";
import type { Client } from "../../api/client/client.ts";
import type { ServiceAccount, Stored } from "../../api/types.ts";
import { DAY_MS, issue } from "../../control/pki/certificates.ts";
import { openPki, type Pki } from "../../control/pki/pki.ts";
import { openMemoryStore } from "../../control/store/memory.ts";
import { freePort } from "../../control/store/etcd/testing.ts";
import { buildApiServer } from "../apiserver.ts";
import { COMMANDS } from "../commands.ts";
import { parseFlags } from "../flags.ts";

/** A running control plane without controllers. */
export interface TestPlane {
  readonly url: string;
  readonly admin: Client;
  readonly pki: Pki;
  /** Who holds a certificate in this name asks; without a name nobody does. */
  as(name?: string, ...organizations: string[]): Promise<Asker>;
  withToken(token: string): Asker;
  /** The token a Secret of this name holds. */
  readonly issueLegacyToken: (account: Stored<ServiceAccount>, secretName: string) => string;
  stop(): Promise<void>;
}

/** The server as one user sees it. */
export interface Asker {
  ask(question: Question): Promise<Answer>;
  request(method: string, path: string, options?: { body?: unknown; contentType?: string; headers?: Readonly<Record<string, string>> }): Promise<Answer>;
  close(): void;
}

export interface Answer {
  readonly status: number;
  readonly message: string;
  readonly body: string;
}

/** One request, and what it means to an authorizer. */
export interface Question {
  readonly verb: string;
  readonly group: string;
  readonly resource: string;
  readonly subresource: string;
  readonly namespace: string;
  readonly name: string;
  readonly method: string;
  readonly path: string;
}

/** Starts one; several live side by side. */
export async function startPlane(): Promise<TestPlane> {
  const directory = mkdtempSync(join(tmpdir(), "minik8s-rights-"));
  const port = freePort();
  const flags = COMMANDS.find(({ name }) => name === "control")?.flags ?? [];
  const { values } = parseFlags(flags, ["--init", "--datastore", "memory", "--bind-address", "127.0.0.1", "--port", `${port}`, "--data-dir", directory], {});
  const running = new AbortController();
  const [store, pki] = await Promise.all([openMemoryStore(), openPki({ directory: join(directory, "pki"), names: () => ({ dnsNames: ["localhost"], ipAddresses: ["127.0.0.1"] }) })]);
  const api = buildApiServer({ values, store, pki, signal: running.signal, advertise: "127.0.0.1" });
  await api.server.start();
  await api.bootstrap();
  const url = `https://127.0.0.1:${port}`;
  const askers: Asker[] = [];
  const asker = (options: { certificate?: ClientCertificate; token?: string }): Asker => {
    const made = askerOf({ url, caPem: pki.roots.authority.certPem, ...options });
    askers.push(made);
    return made;
  };
  return {
    url, admin: api.server.localClient(), pki,
    as: async (name, ...organizations) => asker(name === undefined ? {} : { certificate: await issue(pki.roots.authority, { commonName: name, organizations, usages: ["client auth"], lifetimeMs: DAY_MS }) }),
    withToken: (token) => asker({ token }),
    issueLegacyToken: api.issueLegacyToken,
    stop: async () => {
      for (const one of askers) one.close();
      running.abort();
      await api.server.stop();
      await store.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

function askerOf({ url, caPem, certificate, token }: { url: string; caPem: string; certificate?: ClientCertificate; token?: string }): Asker {
  const transport = new Transport({ server: url, caPem, clientCertificate: () => certificate, token: () => token });
  const withHeaders = async (method: string, path: string, headers: Readonly<Record<string, string>>): Promise<Answer> => {
    const reply = await fetch(url + path, { method, headers: { ...headers, ...(token && { authorization: `Bearer ${token}` }) }, tls: { ca: caPem, ...(certificate && { cert: certificate.certPem, key: certificate.keyPem }) } });
    const text = await reply.text();
    return { status: reply.status, message: messageOf(text), body: text };
  };
  const request: Asker["request"] = async (method, path, { body, contentType, headers } = {}) => {
    if (headers) return withHeaders(method, path, headers);
    const stop = new AbortController();
    const reply = await transport.send({ method, path, signal: stop.signal, ...(body !== undefined && { body: JSON.stringify(body), contentType: contentType ?? "application/json" }) });
    // A watch that was let in has no end; nothing of it is wanted.
    let text = "";
    if (/[?&]watch=/.test(path) && reply.status === 200) stop.abort();
    else for await (const part of reply.body) text += part;
    return { status: reply.status, message: messageOf(text), body: text };
  };
  return { request, ask: (question) => request(question.method, question.path, bodyFor(question)), close: () => transport.close() };
}

function messageOf(text: string): string {
  try {
    return String((JSON.parse(text) as { message?: unknown }).message ?? "");
  } catch {
    return "";
  }
}

function bodyFor({ method }: Question): { body?: unknown; contentType?: string } {
  if (method === "PATCH") return { body: {}, contentType: "application/merge-patch+json" };
  return method === "POST" || method === "PUT" ? { body: {} } : {};
}

/** Whether the authorizer said no; what comes after it may refuse too, in other words. */
export function isUnauthorized({ status, message }: Answer): boolean {
  return status === 401 || (status === 403 && (message === "" || /forbidden: User "[^"]*" cannot /.test(message)));
}

/** `create core/pods/eviction team p`, as people write a question. */
export function textOf({ verb, group, resource, subresource, namespace, name }: Question): string {
  return `${verb} ${group || "core"}/${resource}${subresource && `/${subresource}`}${namespace || name ? ` ${namespace || "-"}` : ""}${name && ` ${name}`}`;
}

/** One resource as discovery shows it. */
export interface Discovered {
  readonly group: string;
  readonly version: string;
  readonly resource: string;
  readonly isNamespaced: boolean;
  readonly subresources: readonly string[];
}

/** Everything the server has. */
export async function discover(asker: Asker): Promise<Discovered[]> {
  const found: Discovered[] = [];
  for (const path of ["/api", "/apis"]) {
    const { body } = await asker.request("GET", path, {});
    const lists = path === "/api" ? [{ group: "", version: "v1" }] : (JSON.parse(body) as { groups: { name: string; versions: { version: string }[] }[] }).groups.flatMap(({ name, versions }) => versions.map(({ version }) => ({ group: name, version })));
    for (const { group, version } of lists) {
      const document = await asker.request("GET", group === "" ? `/api/${version}` : `/apis/${group}/${version}`);
      const { resources } = JSON.parse(document.body) as { resources: { name: string; namespaced: boolean }[] };
      for (const { name, namespaced } of resources.filter((one) => !one.name.includes("/"))) {
        const subresources = resources.filter((one) => one.name.startsWith(`${name}/`)).map((one) => one.name.slice(name.length + 1));
        found.push({ group, version, resource: name, isNamespaced: namespaced, subresources });
      }
    }
  }
  return found;
}

export interface Scope {
  readonly namespaces: readonly string[];
  readonly names: readonly string[];
}

const NAMED: readonly (readonly [verb: string, method: string])[] = [["get", "GET"], ["update", "PUT"], ["patch", "PATCH"], ["delete", "DELETE"]];

/** Every verb on every resource and subresource, of collections and of objects, in every place. Nothing of it changes anything. */
export function questionsOf(resources: readonly Discovered[], { namespaces, names }: Scope): Question[] {
  return resources.flatMap((one) => {
    const places = one.isNamespaced ? ["", ...namespaces] : [""];
    return places.flatMap((namespace) => [...collectionQuestions(one, namespace), ...(one.isNamespaced && namespace === "" ? [] : names.flatMap((name) => objectQuestions(one, namespace, name)))]);
  });
}

function collectionQuestions(one: Discovered, namespace: string): Question[] {
  const base = pathTo(one, namespace);
  const isEverywhere = one.isNamespaced && namespace === "";
  const ask = (verb: string, method: string, path: string): Question => ({ verb, method, path, group: one.group, resource: one.resource, subresource: "", namespace, name: "" });
  return [
    ask("list", "GET", `${base}?limit=1`), ask("watch", "GET", `${base}?watch=1&timeoutSeconds=1`), ask("deletecollection", "DELETE", `${base}?dryRun=All`),
    ...(isEverywhere ? [] : [ask("create", "POST", `${base}?dryRun=All`)]),
  ];
}

function objectQuestions(one: Discovered, namespace: string, name: string): Question[] {
  const path = `${pathTo(one, namespace)}/${name}`;
  // A namespace is in itself.
  const place = one.group === "" && one.resource === "namespaces" ? name : namespace;
  const ask = (verb: string, method: string, subresource: string): Question => ({
    verb, method, path: `${path}${subresource && `/${subresource}`}${method === "GET" ? "" : "?dryRun=All"}`, group: one.group, resource: one.resource, subresource, namespace: place, name,
  });
  return [...NAMED.map(([verb, method]) => ask(verb, method, "")), ...one.subresources.flatMap((subresource) => [...NAMED, ["create", "POST"] as const].map(([verb, method]) => ask(verb, method, subresource)))];
}

function pathTo({ group, version, resource }: Discovered, namespace: string): string {
  return `${group === "" ? "/api" : `/apis/${group}`}/${version}${namespace && `/namespaces/${namespace}`}/${resource}`;
}

/** Asks everything, several at a time, in order of the answers' questions. */
export async function askAll(asker: Asker, questions: readonly Question[]): Promise<Map<Question, Answer>> {
  const answers = new Map<Question, Answer>();
  for (let start = 0; start < questions.length; start += 32) {
    await Promise.all(questions.slice(start, start + 32).map(async (question) => void answers.set(question, await asker.ask(question))));
  }
  return answers;
}
