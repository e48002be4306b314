import { describe, expect, test } from "bun:test";
import { KindRegistry } from "../../../api/registry.ts";
import { parseLabelSelector } from "../../../api/selectors.ts";
import { servedMetrics, type ServedElsewhere } from "./custommetrics.ts";

const ALL = ["custom.metrics.k8s.io/v1beta2", "custom.metrics.k8s.io/v1beta1", "external.metrics.k8s.io/v1beta1"];

/** An adapter that serves these group-versions and answers every question with these values. */
function adapter(items: readonly object[], served: readonly string[] = ALL): { asked: string[]; metrics: ReturnType<typeof servedMetrics> } {
  const asked: string[] = [];
  const elsewhere: ServedElsewhere = {
    availableVersion: (group, versions) => versions.find((version) => served.includes(`${group}/${version}`)),
    read: async (path) => {
      asked.push(path);
      return { kind: "MetricValueList", items };
    },
  };
  return { asked, metrics: servedMetrics({ elsewhere, kinds: new KindRegistry() }) };
}

async function failure(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return "";
  } catch (error) {
    return (error as Error).message;
  }
}

describe("metrics served by others", () => {
  test("of pods are asked for by selector, and told by pod", async () => {
    const { asked, metrics } = adapter([{ describedObject: { kind: "Pod", name: "a" }, value: "1500m", timestamp: "2026-03-01T12:00:00Z" }, { describedObject: { kind: "Pod", name: "b" }, value: "2", timestamp: "2026-03-01T12:00:00Z", windowSeconds: 30 }]);
    const figures = await metrics.pods({ namespace: "shop", metric: "qps", pods: parseLabelSelector("app=web"), selector: { matchLabels: { verb: "GET" } } });
    expect([...figures]).toEqual([["a", { milli: 1500, timeMs: Date.parse("2026-03-01T12:00:00Z"), windowMs: 60_000 }], ["b", { milli: 2000, timeMs: Date.parse("2026-03-01T12:00:00Z"), windowMs: 30_000 }]]);
    expect(asked).toEqual(["/apis/custom.metrics.k8s.io/v1beta2/namespaces/shop/pods/*/qps?labelSelector=app%3Dweb&metricLabelSelector=verb%3DGET"]);
  });

  test("of an object are asked for by its resource; those of the namespace stand apart", async () => {
    const { asked, metrics } = adapter([{ value: "3k" }], ["custom.metrics.k8s.io/v1beta1"]);
    expect(await metrics.object({ namespace: "shop", metric: "hits", object: { apiVersion: "networking.k8s.io/v1", kind: "Ingress", name: "main" } })).toBe(3_000_000);
    await metrics.object({ namespace: "shop", metric: "hits", object: { kind: "Service", name: "web" } });
    await metrics.object({ namespace: "shop", metric: "hits", object: { apiVersion: "v1", kind: "Namespace", name: "other" } });
    expect(asked).toEqual([
      "/apis/custom.metrics.k8s.io/v1beta1/namespaces/shop/ingresses.networking.k8s.io/main/hits",
      "/apis/custom.metrics.k8s.io/v1beta1/namespaces/shop/services/web/hits",
      "/apis/custom.metrics.k8s.io/v1beta1/namespaces/shop/metrics/hits",
    ]);
  });

  test("of nothing here come as a list of values", async () => {
    const { asked, metrics } = adapter([{ metricName: "queue", value: "30" }, { metricName: "queue", value: "12500m" }]);
    expect(await metrics.external({ namespace: "shop", metric: "queue", selector: { matchLabels: { q: "mail" } } })).toEqual([30_000, 12_500]);
    expect(asked).toEqual(["/apis/external.metrics.k8s.io/v1beta1/namespaces/shop/queue?labelSelector=q%3Dmail"]);
  });

  test("that nobody serves, or that are not there, are said to be missing", async () => {
    const { metrics } = adapter([], []);
    const question = { namespace: "shop", metric: "qps" };
    expect(await failure(metrics.pods({ ...question, pods: parseLabelSelector("a=b") }))).toBe("unable to fetch metrics from custom metrics API: no custom metrics API (custom.metrics.k8s.io) registered");
    expect(await failure(metrics.external(question))).toBe("unable to fetch metrics from external metrics API: the server could not find the requested resource (get qps.external.metrics.k8s.io)");
    const empty = adapter([]).metrics;
    expect(await failure(empty.pods({ ...question, pods: parseLabelSelector("a=b") }))).toBe("no metrics returned from custom metrics API");
    expect(await failure(empty.object({ ...question, object: { kind: "Service", name: "web" } }))).toBe("unable to fetch metrics from custom metrics API: the custom metrics API server returned 0 results when we asked for exactly one");
    expect(await failure(empty.object({ ...question, object: { kind: "Gadget", name: "web", apiVersion: "x.io/v1" } }))).toBe('unable to fetch metrics from custom metrics API: unable to map kind Gadget.x.io to resource: no matches for kind "Gadget" in group "x.io"');
  });
});
