// API aggregation: an APIService for every group-version served here, and group-versions served elsewhere found, checked and proxied.
// Conditions: k8s.io/kube-aggregator/pkg/controllers/status/remote.
import type { Duplex, Readable } from "node:stream";
import { ApiError, isConflict, isNotFound, serviceUnavailable } from "../../../../api/errors.ts";
import { apiVersionOf, type KindInfo } from "../../../../api/kinds.ts";
import { KindRegistry } from "../../../../api/registry.ts";
import type { AnyObject } from "../../../../api/types.ts";
import { timestamp } from "../../../../lib/clock.ts";
import { logger } from "../../../../lib/log.ts";
import { cacheOf, LOOPBACK_USER, type Engine, type Extension } from "../../engine.ts";
import { selectAll } from "../../cache/selection.ts";
import { copy } from "../../connect/copy.ts";
import { join } from "../../connect/join.ts";
import type { DocumentSource } from "../../http/documents.ts";
import type { Exchange, Request } from "../../http/exchange.ts";
import { isWebSocket } from "../../http/websocket.ts";
import type { UserInfo } from "../../request.ts";
import type { Condition } from "../crd/schema.ts";
import { API_SERVICE, apiServiceOf, availability, local, type ApiService, type ApiServiceSpec } from "./apiservice.ts";
import { problemOf, SERVICE, SLICE } from "./behind.ts";
import { prioritiesOf } from "./priorities.ts";
import { PublishedDocuments } from "./published.ts";
import { kindsOf, type RemoteResource } from "./remotekinds.ts";
import { askRemote, openRemote, textOf, type FrontProxy } from "./remote.ts";

const log = logger("aggregation");
const CHECK_EVERY_MS = 5_000;
const RETRY_MS = 1_000;
const CHECK_TIMEOUT_MS = 5_000;
const READ_TIMEOUT_MS = 30_000;
const AGGREGATOR_USER: UserInfo = { name: "system:aggregator", groups: ["system:masters", "system:authenticated"] };
const AUTOMANAGED = "kube-aggregator.kubernetes.io/automanaged";

export interface AggregatorDeps {
  readonly kinds: KindRegistry;
  /** Read for every connection, so rotation needs no restart. */
  readonly frontProxy: () => FrontProxy;
}

/** What is served elsewhere. */
export class Aggregator implements Extension {
  /** What available remote group-versions serve, for discovery. */
  readonly kinds = new KindRegistry([]);
  readonly #deps: AggregatorDeps;
  readonly #remote = new Map<string, ApiService>();
  readonly #published = new PublishedDocuments((spec, path, etag) => this.#text(spec, path, etag));
  #engine: Engine | undefined;
  #isChecking = false;
  #isDue = false;
  #isRegistered = false;

  constructor(deps: AggregatorDeps) {
    this.#deps = deps;
  }

  start(engine: Engine, signal: AbortSignal): void {
    this.#engine = engine;
    const cache = cacheOf(engine, API_SERVICE);
    const stop = cache.watchFromNow(selectAll(), { deliver: (deliveries) => deliveries.forEach(({ type, entry }) => this.#see(apiServiceOf(entry.object), type === "DELETED")) }, engine.caches.revision);
    const stopEndpoints = [SERVICE, SLICE].map((kind) => cacheOf(engine, kind).watchFromNow(selectAll(), {
      deliver: (deliveries) => {
        if (this.#remote.size > 0 && deliveries.some(({ entry }) => this.#isBehind(entry.object))) this.#check();
      },
    }, engine.caches.revision));
    for (const { object } of cache.entries()) this.#see(apiServiceOf(object), false);
    const stopKinds = this.#deps.kinds.onChange(() => scheduleSync());
    let timer: ReturnType<typeof setTimeout> | undefined;
    const scheduleSync = (delayMs = 20): void => {
      clearTimeout(timer);
      if (signal.aborted) return;
      timer = setTimeout(() => void this.#sync().catch((error: unknown) => {
        log.warn({ err: error }, "API services could not be brought up to date; tried again");
        scheduleSync(RETRY_MS);
      }), delayMs);
    };
    scheduleSync();
    const checks = setInterval(() => this.#check(), CHECK_EVERY_MS);
    checks.unref();
    signal.addEventListener("abort", () => {
      stop();
      stopKinds();
      for (const stopOne of stopEndpoints) stopOne();
      clearTimeout(timer);
      clearInterval(checks);
    }, { once: true });
  }

  /** The remote group-version a path belongs to. */
  find(path: string): ApiService | undefined {
    if (this.#remote.size === 0) return undefined;
    const [, root, group, version] = path.split("/");
    return root === "apis" && version ? this.#remote.get(`${group}/${version}`) : undefined;
  }

  /** Throws unless every group-version built in had an APIService once that was available. */
  requireRegistered(): void {
    if (this.#isRegistered) return;
    const cache = cacheOf(this.#engine as Engine, API_SERVICE);
    const missing = [...this.#wanted()].filter(([name, { isCustom }]) => {
      const found = isCustom ? undefined : cache.get("", name)?.object;
      return !isCustom && (!found || availability(apiServiceOf(found))?.status !== "True");
    });
    if (missing.length > 0) throw new Error(`missing APIService: [${missing.map(([name]) => name).toSorted().join(" ")}]`);
    this.#isRegistered = true;
  }

  /** The first of these versions of a group that is served elsewhere and can be asked now. */
  availableVersion(group: string, versions: readonly string[]): string | undefined {
    return versions.find((version) => {
      const service = this.#remote.get(`${group}/${version}`);
      return service !== undefined && availability(service)?.status === "True";
    });
  }

  /** GETs a path that is served elsewhere, as `user`; throws what the other end answers. */
  async read(path: string, user: UserInfo): Promise<unknown> {
    const service = this.find(path.split("?")[0] as string);
    if (!service || availability(service)?.status !== "True") throw serviceUnavailable("service unavailable");
    const answer = await askRemote(this.#engine as Engine, this.#deps.frontProxy(), { spec: service.spec, user, method: "GET", path, headers: { accept: "application/json" }, timeoutMs: READ_TIMEOUT_MS });
    const text = await textOf(answer);
    const body = parsed(text);
    if ((answer.statusCode ?? 500) >= 300) throw ApiError.fromStatus(answer.statusCode ?? 500, body);
    return body;
  }

  /** Hands a request on; throws 503 while the other end is not available. */
  async request(exchange: Exchange, { service, user }: { service: ApiService; user: UserInfo }): Promise<void> {
    if (availability(service)?.status !== "True") throw serviceUnavailable("service unavailable");
    const { request, response } = exchange;
    const answer = await askRemote(this.#engine as Engine, this.#deps.frontProxy(), { spec: service.spec, user, method: request.method ?? "GET", path: request.url ?? "/", headers: request.headers, body: request as unknown as Readable });
    const headers = Object.fromEntries(Object.entries(answer.headers).filter(([name, value]) => value !== undefined && !/^(connection|keep-alive|transfer-encoding|upgrade)$/.test(name))) as Record<string, string | string[]>;
    response.writeHead(answer.statusCode ?? 502, headers);
    exchange.audit?.responded(answer.statusCode ?? 502);
    copy(answer, response);
  }

  /** Hands on a request to speak another protocol; throws 503 while the other end is not available. */
  async upgrade(request: Request, socket: Duplex, { service, user, head }: { service: ApiService; user: UserInfo; head: Buffer }): Promise<void> {
    if (availability(service)?.status !== "True") throw serviceUnavailable("service unavailable");
    const call = { spec: service.spec, user, method: request.method ?? "GET", path: request.url ?? "/", headers: request.headers, upgrade: String(request.headers["upgrade"]) };
    const remote = await openRemote(this.#engine as Engine, this.#deps.frontProxy(), call);
    if (head.length > 0) remote.write(head);
    join(socket, remote, { isWebSocket: isWebSocket(request.headers) });
  }

  /** The published documents, with those of available remote group-versions among them. */
  openapi(own: DocumentSource): DocumentSource {
    return this.#published.among(own);
  }

  async #text(spec: ApiServiceSpec, path: string, etag?: string): Promise<{ text: string | undefined; etag: string | undefined }> {
    const answer = await askRemote(this.#engine as Engine, this.#deps.frontProxy(), { spec, user: AGGREGATOR_USER, method: "GET", path, headers: { accept: "application/json", ...(etag && { "if-none-match": etag }) }, timeoutMs: CHECK_TIMEOUT_MS });
    const text = await textOf(answer);
    if (answer.statusCode === 304) return { text: undefined, etag };
    if ((answer.statusCode ?? 500) >= 300) throw ApiError.fromStatus(answer.statusCode ?? 500, parsed(text));
    return { text, etag: answer.headers.etag };
  }

  #see(service: ApiService, isGone: boolean): void {
    const { spec } = service;
    const key = `${spec.group ?? ""}/${spec.version}`;
    const isRemote = !isGone && spec.service !== undefined;
    const isNew = isRemote && !this.#remote.has(key);
    if (isRemote) this.#remote.set(key, service);
    else if (this.#remote.delete(key)) this.#forget(spec);
    if (isRemote && availability(service)?.status !== "True") this.#forget(spec);
    if (isNew) this.#check();
  }

  #forget(spec: ApiServiceSpec): void {
    this.#hide(spec);
    this.#published.forget(spec);
  }

  #hide({ group = "", version }: ApiServiceSpec): void {
    for (const kind of this.kinds.all()) if (kind.group === group && kind.version === version) this.kinds.remove(kind);
  }

  /** A kind of every group-version served here, by the name of its APIService. */
  #wanted(): Map<string, KindInfo> {
    return new Map(this.#deps.kinds.all().filter(({ group }) => group !== API_SERVICE.group).map((kind) => [`${kind.version}.${kind.group}`, kind]));
  }

  /** Makes an APIService for what is served here, and takes away those it made for what no longer is. */
  async #sync(): Promise<void> {
    const { client } = this.#engine as Engine;
    const cache = cacheOf(this.#engine as Engine, API_SERVICE);
    const wanted = this.#wanted();
    for (const [name, { group, version, isCustom = false }] of wanted) {
      if (cache.get("", name)) continue;
      const object = { metadata: { name, labels: { [AUTOMANAGED]: isCustom ? "true" : "onstart" } }, spec: { ...(group !== "" && { group }), version, ...prioritiesOf({ group, version }) } };
      await client.create<AnyObject>(API_SERVICE, object as AnyObject).catch((error: unknown) => {
        if (!(error as { reason?: string }).reason?.includes("AlreadyExists")) throw error;
      });
    }
    for (const { name, object } of cache.entries()) {
      if (object.metadata.labels?.[AUTOMANAGED] === undefined || wanted.has(name)) continue;
      await client.delete(API_SERVICE, { name }).catch((error: unknown) => {
        if (!isNotFound(error)) throw error;
      });
    }
  }

  /** Looks after every APIService once; one round at a time. */
  #check(): void {
    this.#isDue = true;
    if (!this.#isChecking) void this.#checkWhileDue();
  }

  async #checkWhileDue(): Promise<void> {
    this.#isChecking = true;
    while (this.#isDue) {
      this.#isDue = false;
      try {
        await this.#checkAll();
      } catch (error) {
        log.debug({ err: error }, "availability could not be told");
      }
    }
    this.#isChecking = false;
  }

  /** Whether a Service, or a slice of its endpoints, is one that APIs are behind. */
  #isBehind({ kind, metadata }: AnyObject): boolean {
    const name = kind === "EndpointSlice" ? metadata.labels?.["kubernetes.io/service-name"] : metadata.name;
    return [...this.#remote.values()].some(({ spec: { service } }) => service?.name === name && service?.namespace === metadata.namespace);
  }

  async #checkAll(): Promise<void> {
    const engine = this.#engine as Engine;
    // The turn ends first, so that what is being written is in the cache.
    await Promise.resolve();
    for (const service of this.#remote.values()) {
      const condition = await this.#conditionOf(service);
      await this.#tell(service, { ...condition, type: "Available" });
    }
    for (const { object } of cacheOf(engine, API_SERVICE).entries()) {
      const service = apiServiceOf(object);
      if (!service.spec.service && availability(service)?.lastTransitionTime === undefined) await this.#tell(service, local(timestamp(engine.clock.now())));
    }
  }

  async #tell(service: ApiService, condition: Condition): Promise<void> {
    const engine = this.#engine as Engine;
    const found = cacheOf(engine, API_SERVICE).get("", service.metadata.name as string)?.object;
    if (!found) return;
    const known = availability(apiServiceOf(found));
    if (known?.status === condition.status && known.reason === condition.reason && known.message === condition.message && known.lastTransitionTime) return;
    const now = timestamp(engine.clock.now());
    const next = { ...condition, lastTransitionTime: known?.status === condition.status ? (known.lastTransitionTime ?? now) : now };
    const others = (apiServiceOf(found).status?.conditions ?? []).filter(({ type }) => type !== "Available");
    try {
      await engine.client.update(API_SERVICE, { ...found, status: { conditions: [...others, next] } } as AnyObject, { subresource: "status" });
    } catch (error) {
      if (!isConflict(error) && !isNotFound(error)) throw error;
    }
  }

  async #conditionOf(service: ApiService): Promise<Omit<Condition, "type">> {
    const problem = problemOf(this.#engine as Engine, service.spec);
    if (problem) return { status: "False", ...problem };
    try {
      await this.#discover(service.spec);
      void this.#published.refresh(service.spec, performance.now());
      return { status: "True", reason: "Passed", message: "all checks passed" };
    } catch (error) {
      return { status: "False", reason: "FailedDiscoveryCheck", message: `failing or missing response from https://${service.spec.service?.name}.${service.spec.service?.namespace}.svc/apis/${service.spec.group}/${service.spec.version}: ${(error as Error).message}` };
    }
  }

  /** Reads what a remote group-version serves, and shows it in discovery. */
  async #discover(spec: ApiServiceSpec): Promise<void> {
    const { group = "", version } = spec;
    const answer = await askRemote(this.#engine as Engine, this.#deps.frontProxy(), { spec, user: LOOPBACK_USER, method: "GET", path: `/apis/${group}/${version}`, headers: { accept: "application/json" }, timeoutMs: CHECK_TIMEOUT_MS });
    const text = await textOf(answer);
    if ((answer.statusCode ?? 500) >= 300) throw new Error(`bad status from https://${spec.service?.name}.${spec.service?.namespace}.svc/apis/${group}/${version}: ${answer.statusCode}`);
    const kinds = kindsOf(JSON.parse(text) as { resources?: readonly RemoteResource[] }, { group, version });
    const known = this.kinds.all().filter((kind) => apiVersionOf(kind) === `${group}/${version}`);
    if (JSON.stringify(known) === JSON.stringify(kinds)) return;
    this.#hide(spec);
    for (const kind of kinds) this.kinds.add(kind);
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
