// Metrics that others serve: `custom.metrics.k8s.io` and `external.metrics.k8s.io`, as adapters behind the API server offer them.
// Paths and what is said of failures: k8s.io/metrics/pkg/client.
import { parseApiVersion, type KindInfo } from "../../../api/kinds.ts";
import { milliValue, parseQuantity } from "../../../api/quantity.ts";
import { matcherOf } from "../../../api/selectors.ts";
import type { LabelSelector } from "../../../api/types.ts";
import type { CustomMetrics } from "./evaluate.ts";
import type { PodFigures } from "./podmetrics.ts";

/** APIs that are served by others. */
export interface ServedElsewhere {
  /** The first of these versions that can be asked now. */
  availableVersion(group: string, versions: readonly string[]): string | undefined;
  /** GETs a path with its query; throws ApiError for what the other end refuses. */
  read(path: string): Promise<unknown>;
}

export interface CustomMetricsDeps {
  readonly elsewhere: ServedElsewhere;
  readonly kinds: { all(): readonly KindInfo[] };
}

interface Value {
  readonly describedObject?: { readonly name?: string };
  readonly value: string;
  readonly timestamp?: string;
  readonly windowSeconds?: number;
}

const CUSTOM = "custom.metrics.k8s.io";
const EXTERNAL = "external.metrics.k8s.io";
const DEFAULT_WINDOW_S = 60;

/** Metrics as those APIs tell them. */
export function servedMetrics({ elsewhere, kinds }: CustomMetricsDeps): CustomMetrics {
  const custom = (path: string, query: Readonly<Record<string, string>>): Promise<readonly Value[]> => told("custom", async () => {
    const version = elsewhere.availableVersion(CUSTOM, ["v1beta2", "v1beta1"]);
    if (!version) throw new Error(`no custom metrics API (${CUSTOM}) registered`);
    return itemsOf(await elsewhere.read(`/apis/${CUSTOM}/${version}/namespaces/${path}${queryText(query)}`));
  });
  return {
    async pods({ namespace, metric, pods, selector }) {
      const values = await custom(`${namespace}/pods/*/${metric}`, { labelSelector: pods.toString(), metricLabelSelector: textOf(selector) });
      if (values.length === 0) throw new Error("no metrics returned from custom metrics API");
      return figuresOf(values);
    },
    async object({ namespace, metric, object, selector }) {
      const path = await told("custom", async () => (isNamespace(object) ? "metrics" : `${resourceOf(object, kinds.all())}/${object.name}`));
      const values = await custom(`${namespace}/${path}/${metric}`, { metricLabelSelector: textOf(selector) });
      const [value] = values;
      if (!value || values.length > 1) throw new Error(`unable to fetch metrics from custom metrics API: the custom metrics API server returned ${values.length} results when we asked for exactly one`);
      return milli(value);
    },
    async external({ namespace, metric, selector }) {
      const values = await told("external", async () => {
        const version = elsewhere.availableVersion(EXTERNAL, ["v1beta1"]);
        if (!version) throw new Error(`the server could not find the requested resource (get ${metric}.${EXTERNAL})`);
        return itemsOf(await elsewhere.read(`/apis/${EXTERNAL}/${version}/namespaces/${namespace}/${metric}${queryText({ labelSelector: textOf(selector) })}`));
      });
      if (values.length === 0) throw new Error("no metrics returned from external metrics API");
      return values.map(milli);
    },
  };
}

async function told<T>(api: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw new Error(`unable to fetch metrics from ${api} metrics API: ${(error as Error).message}`, { cause: error });
  }
}

function itemsOf(body: unknown): readonly Value[] {
  const { items } = (body ?? {}) as { items?: unknown };
  if (!Array.isArray(items)) throw new Error("the metrics API server did not return a list");
  return items as Value[];
}

function figuresOf(values: readonly Value[]): PodFigures {
  return new Map(values.map((value) => [value.describedObject?.name ?? "", { milli: milli(value), timeMs: Date.parse(value.timestamp ?? ""), windowMs: (value.windowSeconds ?? DEFAULT_WINDOW_S) * 1000 }]));
}

const milli = ({ value }: Value): number => milliValue(parseQuantity(value));
const textOf = (selector: LabelSelector | undefined): string => (selector ? matcherOf(selector).toString() : "");

function queryText(query: Readonly<Record<string, string>>): string {
  const text = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== "")).toString();
  return text === "" ? "" : `?${text}`;
}

interface Described {
  readonly kind: string;
  readonly name: string;
  readonly apiVersion?: string | undefined;
}

const isNamespace = ({ kind, apiVersion }: Described): boolean => kind === "Namespace" && groupOf(apiVersion) === "";
const groupOf = (apiVersion: string | undefined): string => parseApiVersion(apiVersion || "v1").group;

/** `ingresses.networking.k8s.io` for an Ingress. */
function resourceOf({ kind, apiVersion }: Described, kinds: readonly KindInfo[]): string {
  const group = groupOf(apiVersion);
  const known = kinds.find((each) => each.kind === kind && each.group === group);
  if (!known) throw new Error(`unable to map kind ${group === "" ? kind : `${kind}.${group}`} to resource: no matches for kind ${JSON.stringify(kind)} in group ${JSON.stringify(group)}`);
  return group === "" ? known.plural : `${known.plural}.${group}`;
}
