// What health checks found, as control plane and nodes show it.

/** How often each check passed and failed at each endpoint, for `/metrics/slis`. */
export class HealthFigures {
  readonly #seen = new Map<string, { last: number; success: number; error: number }>();

  note(name: string, endpoint: string, isHealthy: boolean): void {
    const labels = `name="${name}",type="${endpoint}"`;
    const seen = this.#seen.get(labels) ?? { last: 0, success: 0, error: 0 };
    seen.last = isHealthy ? 1 : 0;
    seen[isHealthy ? "success" : "error"]++;
    this.#seen.set(labels, seen);
  }

  text(): string {
    const all = [...this.#seen];
    const counts = all.flatMap(([labels, { success, error }]) => [["success", success] as const, ["error", error] as const].filter(([, count]) => count > 0).map(([status, count]) => `kubernetes_healthchecks_total{${labels.replace(",type=", `,status="${status}",type=`)}} ${count}`));
    return [
      "# HELP kubernetes_healthcheck [STABLE] This metric records the result of a single healthcheck.", "# TYPE kubernetes_healthcheck gauge", ...all.map(([labels, { last }]) => `kubernetes_healthcheck{${labels}} ${last}`),
      "# HELP kubernetes_healthchecks_total [STABLE] This metric records the results of all healthcheck.", "# TYPE kubernetes_healthchecks_total counter", ...counts, "",
    ].join("\n");
  }
}
