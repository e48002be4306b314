// `/livez`, `/readyz` and `/healthz`: one line a check, as upstream prints them.
import { replyText, type Exchange } from "./exchange.ts";
import type { Query } from "./target.ts";

/** One named check; throws or rejects with the reason when it fails. */
export interface HealthCheck {
  readonly name: string;
  check(): void | Promise<void>;
  /** Only readiness depends on it. */
  readonly readinessOnly?: boolean;
}

/** Answers `/livez`, `/readyz`, `/healthz` and `/<one of them>/<check>`. */
export async function serveHealth(exchange: Exchange, checks: readonly HealthCheck[], { path, query }: { path: string; query: Query }): Promise<void> {
  const [, endpoint = "", name] = path.split("/");
  const own = checks.filter((check) => endpoint === "readyz" || !check.readinessOnly);
  if (name !== undefined) return serveOne(exchange, own.find((check) => check.name === name));
  const excluded = new Set(query.getAll("exclude"));
  const unknown = [...excluded].filter((wanted) => !own.some((check) => check.name === wanted));
  const results = await Promise.all(own.map(async (check) => ({ check, failed: !excluded.has(check.name) && !(await passes(check)), excluded: excluded.has(check.name) })));
  const lines = results.map(({ check, failed, excluded }) => (excluded ? `[+]${check.name} excluded: ok` : failed ? `[-]${check.name} failed: reason withheld` : `[+]${check.name} ok`));
  if (unknown.length > 0) lines.push(`warn: some health checks cannot be excluded: no matches for ${unknown.map((wanted) => JSON.stringify(wanted)).join(", ")}`);
  if (results.some(({ failed }) => failed)) return replyText(exchange, 500, `${lines.join("\n")}\n${endpoint} check failed\n`);
  if (!query.has("verbose")) return replyText(exchange, 200, "ok");
  replyText(exchange, 200, `${lines.join("\n")}\n${endpoint} check passed\n`);
}

async function serveOne(exchange: Exchange, check: HealthCheck | undefined): Promise<void> {
  if (!check) return replyText(exchange, 404, "404 page not found\n");
  if (await passes(check)) return replyText(exchange, 200, "ok");
  replyText(exchange, 500, "internal server error: reason withheld\n");
}

async function passes(check: HealthCheck): Promise<boolean> {
  try {
    await check.check();
    return true;
  } catch {
    return false;
  }
}
