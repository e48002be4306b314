// `/livez`, `/readyz` and `/healthz`: one line a check, as upstream prints them.
import type { HealthFigures } from "../../../api/healthfigures.ts";
import { replyText, type Exchange } from "./exchange.ts";
import type { Query } from "./target.ts";

/** One named check; throws or rejects with the reason when it fails. */
export interface HealthCheck {
  readonly name: string;
  check(): void | Promise<void>;
  /** Only readiness depends on it. */
  readonly readinessOnly?: boolean;
}

export interface HealthDeps {
  readonly checks: readonly HealthCheck[];
  readonly figures: HealthFigures;
}

const ENDPOINT = /^\/(livez|readyz|healthz)(?:\/(.+))?$/;

/** Whether a path is one of health's. */
export function isHealthPath(path: string): boolean {
  return ENDPOINT.test(path);
}

/** Those of the checks that `livez`, `readyz` or `healthz` makes. */
export function checksAt(endpoint: string, checks: readonly HealthCheck[]): readonly HealthCheck[] {
  return checks.filter((check) => endpoint === "readyz" || !check.readinessOnly);
}

/** Answers `/livez`, `/readyz`, `/healthz` and `/<one of them>/<check>`. */
export async function serveHealth(exchange: Exchange, { checks, figures }: HealthDeps, { path, query }: { path: string; query: Query }): Promise<void> {
  const [, endpoint = "", name] = ENDPOINT.exec(path) ?? [];
  const own = checksAt(endpoint, checks);
  if (name !== undefined) return serveOne(exchange, own.find((check) => check.name === name));
  const excluded = new Set(query.getAll("exclude"));
  const unknown = [...excluded].filter((wanted) => !own.some((check) => check.name === wanted)).toSorted();
  const results = await Promise.all(own.map(async (check) => ({ name: check.name, isExcluded: excluded.has(check.name), error: excluded.has(check.name) ? undefined : await failureOf(check) })));
  for (const { name: checked, isExcluded, error } of results) if (!isExcluded) figures.note(checked, endpoint, error === undefined);
  const lines = results.map(({ name: checked, isExcluded, error }) => (isExcluded ? `[+]${checked} excluded: ok` : error ? `[-]${checked} failed: reason withheld` : `[+]${checked} ok`));
  if (unknown.length > 0) lines.push(`warn: some health checks cannot be excluded: no matches for ${unknown.map((wanted) => JSON.stringify(wanted)).join(",")}`);
  if (results.some(({ error }) => error)) return replyText(exchange, 500, `${lines.join("\n")}\n${endpoint} check failed\n`);
  if (!query.has("verbose")) return replyText(exchange, 200, "ok");
  replyText(exchange, 200, `${lines.join("\n")}\n${endpoint} check passed\n`);
}

/** Who may ask for one check may know why it fails. */
async function serveOne(exchange: Exchange, check: HealthCheck | undefined): Promise<void> {
  if (!check) return replyText(exchange, 404, "404 page not found\n");
  const error = await failureOf(check);
  if (error) replyText(exchange, 500, `internal server error: ${error.message}\n`);
  else replyText(exchange, 200, "ok");
}

async function failureOf(check: HealthCheck): Promise<Error | undefined> {
  try {
    await check.check();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}
