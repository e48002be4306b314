// Serves metrics.k8s.io/v1beta1, whose objects are computed; everything else that is connected to goes to the next connector.
import { apiVersionOf, type KindInfo } from "../../../api/kinds.ts";
import { methodNotSupported, notFound } from "../../../api/errors.ts";
import { METRICS_GROUP, NODE_METRICS, POD_METRICS, type MetricsSource, type NodeMetrics, type PodMetrics } from "../../../api/metrics.ts";
import type { FieldRequirement } from "../../../api/selectors.ts";
import { replyObject, type Exchange } from "../http/exchange.ts";
import { isPretty, type Output } from "../http/negotiate.ts";
import type { ConnectCall, Connector } from "../http/serve.ts";
import type { ResourceTarget } from "../http/target.ts";
import { parseSelectors } from "../verbs/selection.ts";

const JSON_OUTPUT: Output = { format: "json", as: undefined, version: "v1", pretty: false };
type Metrics = NodeMetrics | PodMetrics;

/** A connector that answers for metrics itself. */
export function metricsConnector(source: MetricsSource, next: Connector): Connector {
  return {
    handles: (target) => (target.type === "resource" && target.group === METRICS_GROUP ? kindOf(target) !== undefined && target.subresource === "" : next.handles(target)),
    async request(exchange, call) {
      const kind = kindOf(call.target);
      return kind ? serve(exchange, call, { kind, source }) : next.request(exchange, call);
    },
    upgrade: (request, socket, call) => next.upgrade(request, socket, call),
  };
}

async function serve(exchange: Exchange, { target, query }: ConnectCall, { kind, source }: { kind: KindInfo; source: MetricsSource }): Promise<void> {
  const { verb, namespace, name } = target;
  if (verb !== "get" && verb !== "list") throw methodNotSupported(kind, verb);
  const { labels, fields } = parseSelectors({ labelSelector: query.get("labelSelector") ?? undefined, fieldSelector: query.get("fieldSelector") ?? undefined });
  const asked = { matcher: labels, ...(namespace && { namespace }), ...(name && { name }) };
  const all: readonly Metrics[] = kind === NODE_METRICS ? await source.nodes(asked) : await source.pods(asked);
  const output = { ...JSON_OUTPUT, pretty: isPretty(exchange.request.headers, query) };
  if (verb === "list") return replyObject(exchange, 200, { kind: `${kind.kind}List`, apiVersion: apiVersionOf(kind), metadata: {}, items: selected(all, fields) }, output);
  const [found] = all;
  if (!found) throw notFound(kind, name);
  replyObject(exchange, 200, found, output);
}

/** Names and namespaces are all that can be selected by. */
function selected(all: readonly Metrics[], wanted: readonly FieldRequirement[]): readonly Metrics[] {
  const own = ({ metadata }: Metrics, field: string): string => (field === "metadata.name" ? metadata.name : field === "metadata.namespace" ? metadata.namespace : undefined) ?? "";
  return all.filter((metrics) => wanted.every(({ field, operator, value }) => (own(metrics, field) === value) === (operator === "=")));
}

function kindOf(target: ResourceTarget): KindInfo | undefined {
  return [NODE_METRICS, POD_METRICS].find(({ group, version, plural }) => group === target.group && version === target.version && plural === target.plural);
}
