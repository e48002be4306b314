// The API server put together: store below, HTTP above, and a Client for those who live in the same process.
import type { Client } from "../../api/client/client.ts";
import { VERSION } from "../../api/buildinfo.ts";
import { KindRegistry } from "../../api/registry.ts";
import { systemClock, type Clock } from "../../lib/clock.ts";
import type { Store } from "../store/store.ts";
import type { Auditor } from "./audit/auditor.ts";
import type { AdmissionPlugin } from "./admission/plugin.ts";
import type { Authenticator, Authorizer } from "./auth/auth.ts";
import { Caches } from "./cache/caches.ts";
import type { HistoryBounds } from "./cache/history.ts";
import { plainCodec, type Codec } from "./codec.ts";
import { dumpOf } from "./flowcontrol/dump.ts";
import type { DocumentDeps, DocumentSource, OwnPaths } from "./http/documents.ts";
import { LOOPBACK_USER, type Engine, type Extension, type PostHandler } from "./engine.ts";
import { Discovery } from "./http/discovery.ts";
import type { HealthCheck } from "./http/health.ts";
import { Metrics } from "./http/metrics.ts";
import { HttpServer, type ServingCertificate, type ShutdownOptions } from "./http/server.ts";
import type { AggregatedApis, Connector, Timeouts } from "./http/serve.ts";
import type { Limits } from "./http/seat.ts";
import type { Strategies } from "./kinds/strategy.ts";
import { LocalClient } from "./local-client.ts";
import type { UserInfo } from "./request.ts";

/** What an API server is made of. Only the store is always needed; the rest has simple stand-ins. */
export interface ApiServerDeps {
  readonly store: Store;
  readonly kinds?: KindRegistry;
  readonly strategies?: Strategies;
  readonly codec?: Codec;
  /** In order; functions get the in-process client. */
  readonly admission?: readonly AdmissionPlugin[];
  readonly clock?: Clock;
  /** Who serves POSTs that are not stored, by `<plural>` or `<plural>/<subresource>`. */
  readonly postHandlers?: Readonly<Record<string, PostHandler>>;
  /** Reads protobuf bodies. */
  readonly protobuf?: Engine["protobuf"];
  /** Started in order before anything is served. */
  readonly extensions?: readonly Extension[];
  readonly historyBounds?: HistoryBounds;
  /** Left out: no HTTP, the in-process client only. */
  readonly http?: HttpOptions;
}

export interface HttpOptions {
  readonly host: string;
  /** 0 picks a free one. */
  readonly port: number;
  readonly certificate: ServingCertificate;
  /** PEM of the authorities clients are told to show a certificate of. */
  readonly clientAuthorities?: readonly string[];
  readonly authenticators: readonly Authenticator[];
  readonly authorizer: Authorizer;
  /** What `/version` says. */
  readonly version?: Readonly<Record<string, string>>;
  readonly openapi?: DocumentSource;
  readonly openid?: DocumentSource;
  readonly own?: OwnPaths | undefined;
  readonly checks?: readonly HealthCheck[];
  /** More for `/metrics`, in Prometheus' text form. */
  readonly metrics?: () => readonly string[];
  readonly connect?: Connector;
  /** Serves group-versions that live in other API servers. */
  readonly aggregator?: AggregatedApis;
  /** Who is served before whom, and how many at once. */
  readonly limits?: Limits;
  readonly timeouts?: Timeouts;
  readonly audit?: Auditor;
  readonly shutdown?: ShutdownOptions;
  /** `host:port` clients are told to use. */
  readonly advertise?: string;
}

/** A running API server. */
export interface ApiServer {
  /** Fills the caches, then listens; resolves once it serves. */
  start(): Promise<void>;
  /** Ends watches, finishes requests, closes the listener; the store stays open. */
  stop(): Promise<void>;
  /** A client in this process acting as `user`; nothing it asks is authorized. Usable after `start`. */
  localClient(user?: UserInfo): Client;
  /** The port that is listened on; 0 without HTTP. */
  readonly port: number;
  readonly engine: Engine;
  /** Serves another key pair from the next connection on. */
  replaceCertificate(certificate: ServingCertificate): void;
}

const PLAIN_STRATEGIES: Strategies = { for: ({ group, kind }) => ({ group, kind }) };

/** Puts an API server together; nothing runs until `start`. */
export function createApiServer(deps: ApiServerDeps): ApiServer {
  const clock = deps.clock ?? systemClock;
  const kinds = deps.kinds ?? new KindRegistry();
  const running = new AbortController();
  let engine: Engine | undefined;
  let http: HttpServer | undefined;
  let port = 0;
  const started = (): Engine => {
    if (!engine) throw new Error("the API server has not been started");
    return engine;
  };
  const loopback = new LocalClient(started, LOOPBACK_USER);

  async function start(): Promise<void> {
    const caches = await Caches.start({ store: deps.store, clock, signal: running.signal, bounds: deps.historyBounds });
    const { strategies = PLAIN_STRATEGIES, codec = plainCodec, admission = [], postHandlers, protobuf } = deps;
    engine = { store: deps.store, caches, kinds, strategies, codec, admission, clock, client: loopback, postHandlers, protobuf };
    for (const extension of deps.extensions ?? []) await extension.start(engine, running.signal);
    if (!deps.http) return;
    http = httpServer(engine, deps.http);
    port = await http.listen(deps.http.port, deps.http.host);
  }

  async function stop(): Promise<void> {
    await http?.stop();
    await deps.http?.audit?.close();
    running.abort();
  }

  return {
    start, stop,
    localClient: (user = LOOPBACK_USER) => (user === LOOPBACK_USER ? loopback : new LocalClient(started, user)),
    get port() { return port; },
    get engine() { return started(); },
    replaceCertificate: (certificate) => http?.replaceCertificate(certificate),
  };
}

/** What priority and fairness is doing, where it is on. */
function debugTables({ flowControl }: Limits = {}): DocumentDeps["debug"] {
  return flowControl && ((path, query) => (path.startsWith("/debug/api_priority_and_fairness/") ? dumpOf(flowControl, path, (query.get("includeRequestDetails") ?? "") !== "") : undefined));
}

function httpServer(engine: Engine, options: HttpOptions): HttpServer {
  const { host, port, version = VERSION, openapi = engine.codec.openapi?.(engine.kinds), openid, own, checks = [], connect, aggregator, advertise = `${host}:${port}` } = options;
  const readsStore = async (): Promise<void> => void (await engine.store.get("/health"));
  const basic: HealthCheck[] = [{ name: "ping", check: () => {} }, { name: "log", check: () => {} }, { name: "etcd", check: readsStore }, { name: "etcd-readiness", readinessOnly: true, check: readsStore }];
  return new HttpServer({
    engine, authenticators: options.authenticators, authorizer: options.authorizer, certificate: options.certificate, clientAuthorities: options.clientAuthorities, connect, aggregator, limits: options.limits, timeouts: options.timeouts, audit: options.audit, shutdown: options.shutdown,
    documents: { discovery: new Discovery(engine.kinds, () => advertise, aggregator?.kinds), version, checks: [...basic, ...checks], metrics: new Metrics(() => engine.caches, options.metrics), openapi: openapi && (aggregator?.openapi(openapi) ?? openapi), openid, own, debug: debugTables(options.limits) },
  });
}
