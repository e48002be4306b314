// Health of the node's agent, as upstream's kubelet tells it: on its own API, and without TLS on loopback for whoever watches the process.
import { createServer, type Server, type ServerResponse } from "node:http";
import type { HealthFigures } from "../../api/healthfigures.ts";
import type { Clock } from "../../lib/clock.ts";
import type { Component } from "../../lib/component.ts";
import { logger } from "../../lib/log.ts";

/** By name; a string is what is wrong. */
export type HealthChecks = Readonly<Record<string, () => string | undefined>>;

const log = logger("health");
/** Upstream's names; that the server answers is what they say. */
const ALWAYS_HEALTHY: HealthChecks = { ping: () => undefined, log: () => undefined, syncloop: () => undefined };
const RETRY_MS = 5_000;

/** The answer to `/healthz` or `/healthz/<check>`: 200 `ok`, 404 for a check that does not exist, else 500. What each check found is noted where all are made. */
export function answerHealth(checks: HealthChecks, check: string | undefined, response: ServerResponse, figures?: HealthFigures): void {
  const asked = Object.entries({ ...ALWAYS_HEALTHY, ...checks }).filter(([name]) => !check || name === check);
  const results = asked.map(([name, run]) => ({ name, isHealthy: run() === undefined }));
  if (!check) for (const { name, isHealthy } of results) figures?.note(name, "healthz", isHealthy);
  const failed = results.flatMap(({ name, isHealthy }) => (isHealthy ? [] : [`[-]${name} failed: reason withheld\n`]));
  const [status, body] = asked.length === 0 ? [404, "404 page not found\n"] : failed.length > 0 ? [500, `${failed.join("")}healthz check failed\n`] : [200, "ok"];
  response.writeHead(status, { "content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff" });
  response.end(body);
}

export interface HealthServerOptions {
  readonly address: string;
  /** 0 for no server. */
  readonly port: number;
  readonly clock: Clock;
}

/** Serves `/healthz` until stopped. Another node's agent may have the port: then it is asked for again and again, and nothing else waits. */
export function createHealthServer({ address, port, clock }: HealthServerOptions): Component {
  const stop = new AbortController();
  let server: Server | undefined;
  const serve = async (): Promise<void> => {
    for (let isFirst = true; !stop.signal.aborted && !server; isFirst = false) {
      try {
        server = await listen(address, port);
      } catch (error) {
        if (isFirst) log.warn({ err: error, address, port }, "healthz does not serve yet; healthzPort sets another port");
        await clock.sleep(RETRY_MS, stop.signal);
      }
    }
    if (stop.signal.aborted) server?.close();
  };
  return {
    name: "healthz",
    start: async () => {
      if (port > 0) void serve();
    },
    stop: async () => {
      stop.abort();
      server?.closeAllConnections();
      server?.close();
    },
  };
}

function listen(address: string, port: number): Promise<Server> {
  const server = createServer((request, response) => {
    const [, root, check, ...rest] = new URL(request.url ?? "/", "http://node").pathname.split("/");
    answerHealth({}, root === "healthz" && rest.length === 0 ? check : "none", response);
  });
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, address, () => resolve(server));
  });
}
