// What the proxy says of itself over HTTP: /healthz and /livez for the node, and one port per balanced Service.
// Bodies are upstream's, because load balancers and cloud controllers read them.
import type { Clock } from "../../lib/clock.ts";
import type { HealthCheck } from "./compile.ts";

export interface HealthOptions {
  readonly clock: Clock;
  /** Twice the longest time a sync may take. */
  readonly timeoutMs?: number;
  readonly families: readonly (4 | 6)[];
  /** False while the node is being removed: balancers should stop sending. */
  readonly isNodeEligible: () => boolean;
}

/** Remembers when rules were asked for and when they were written. */
export class ProxyHealth {
  readonly #options: Required<HealthOptions>;
  readonly #startedAt: number;
  #updatedAt: number | undefined;
  #oldestQueuedAt: number | undefined;

  constructor(options: HealthOptions) {
    this.#options = { timeoutMs: 60_000, ...options };
    this.#startedAt = options.clock.now();
  }

  queued(): void {
    this.#oldestQueuedAt ??= this.#options.clock.now();
  }

  updated(): void {
    this.#updatedAt = this.#options.clock.now();
    this.#oldestQueuedAt = undefined;
  }

  get healthy(): boolean {
    const waitingSince = this.#oldestQueuedAt ?? (this.#updatedAt === undefined ? this.#startedAt : undefined);
    return waitingSince === undefined || this.#options.clock.now() - waitingSince < this.#options.timeoutMs;
  }

  /** Answers `/healthz` and `/livez`; 503 when rules lag behind. */
  respond(path: string): Response {
    if (path !== "/healthz" && path !== "/livez") return new Response("404 page not found\n", { status: 404 });
    const { clock, families, isNodeEligible } = this.#options;
    const eligible = isNodeEligible();
    const healthy = this.healthy && (path === "/livez" || eligible);
    const now = new Date(clock.now()).toISOString();
    const lastUpdated = healthy ? now : new Date(this.#updatedAt ?? 0).toISOString();
    const status = Object.fromEntries(families.map((family) => [`IPv${family}`, { lastUpdated, healthy: this.healthy }]));
    return json({ lastUpdated, currentTime: now, ...(path === "/healthz" && { nodeEligible: eligible }), healthy: this.healthy, status }, healthy ? 200 : 503);
  }
}

/** The health check ports of Services with external policy Local. */
export class ServiceHealth {
  readonly #servers = new Map<number, Bun.Server<undefined>>();
  readonly #checks = new Map<number, HealthCheck>();

  constructor(readonly proxy: ProxyHealth, readonly onError: (port: number, error: unknown) => void) {}

  /** Opens and closes ports to match. */
  sync(checks: readonly HealthCheck[]): void {
    this.#checks.clear();
    for (const check of checks) this.#checks.set(check.port, check);
    for (const [port, server] of this.#servers) if (!this.#checks.has(port)) this.#close(port, server);
    for (const port of this.#checks.keys()) if (!this.#servers.has(port)) this.#open(port);
  }

  stop(): void {
    this.sync([]);
  }

  #open(port: number): void {
    try {
      this.#servers.set(port, Bun.serve({ port, hostname: "0.0.0.0", fetch: () => this.#respond(port) }));
    } catch (error) {
      this.onError(port, error);
    }
  }

  #close(port: number, server: Bun.Server<undefined>): void {
    void server.stop(true);
    this.#servers.delete(port);
  }

  #respond(port: number): Response {
    const check = this.#checks.get(port);
    const count = check?.localEndpoints ?? 0;
    const body = { service: { namespace: check?.namespace, name: check?.name }, localEndpoints: count, serviceProxyHealthy: this.proxy.healthy };
    return json(body, count > 0 && this.proxy.healthy ? 200 : 503, { "X-Load-Balancing-Endpoint-Weight": String(count) });
  }
}

function json(body: unknown, status: number, headers: Record<string, string> = {}): Response {
  return new Response(JSON.stringify(body), { status, headers: { "Content-Type": "application/json", "X-Content-Type-Options": "nosniff", ...headers } });
}
