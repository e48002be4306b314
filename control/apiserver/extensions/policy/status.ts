// Says in the status of a ValidatingAdmissionPolicy that it has been looked at, and which expressions do not fit the types they are for.
// Upstream: pkg/controller/validatingadmissionpolicystatus, k8s.io/apiserver/pkg/admission/plugin/policy/validating/typechecking.go.
import { isConflict, isNotFound } from "../../../../api/errors.ts";
import type { KindInfo } from "../../../../api/kinds.ts";
import { builtinKind } from "../../../../api/registry.ts";
import type { SchemaEngine } from "../../../../api/schema/engine.ts";
import type { SchemaNode } from "../../../../api/schema/node.ts";
import type { AnyObject } from "../../../../api/types.ts";
import { logger } from "../../../../lib/log.ts";
import { selectAll } from "../../cache/selection.ts";
import { cacheOf, type Engine, type Extension } from "../../engine.ts";
import { compile } from "../../../../api/cel/compile.ts";
import { declareType } from "../../../../api/cel/values.ts";
import type { JsonSchema } from "../crd/schema.ts";
import { policyEnvironment } from "./context.ts";
import type { PolicySpec } from "./policies.ts";

const log = logger("policies");
const POLICY = builtinKind("admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicy");
/** Deeper than any field of a built-in kind; schemas that contain themselves must end somewhere. */
const MAX_DEPTH = 12;
const MAX_KINDS = 10;

interface Warning {
  readonly fieldRef: string;
  readonly warning: string;
}

/** Writes the status of every policy whose spec changed since. */
export class PolicyStatus implements Extension {
  constructor(private readonly schema: SchemaEngine) {}

  start(engine: Engine, signal: AbortSignal): void {
    const cache = cacheOf(engine, POLICY);
    const look = (object: AnyObject): void => {
      if (object["status"]?.observedGeneration === object.metadata.generation || object.metadata.deletionTimestamp) return;
      void this.#tell(engine, object);
    };
    const stop = cache.watchFromNow(selectAll(), { deliver: (deliveries) => deliveries.forEach(({ type, entry }) => type !== "DELETED" && look(entry.object)) }, engine.caches.revision);
    signal.addEventListener("abort", stop, { once: true });
    for (const { object } of cache.entries()) look(object);
  }

  async #tell({ client, kinds }: Engine, policy: AnyObject): Promise<void> {
    // The turn ends first: what is being delivered is not to be written over yet.
    await Promise.resolve();
    try {
      const warnings = this.#warningsOf(kinds.all(), policy["spec"] as PolicySpec);
      await client.update(POLICY, { ...policy, status: { ...policy["status"], observedGeneration: policy.metadata.generation, typeChecking: warnings.length > 0 ? { expressionWarnings: warnings } : {} } } as AnyObject, { subresource: "status" });
    } catch (error) {
      if (!isConflict(error) && !isNotFound(error)) log.warn({ policy: policy.metadata.name, err: error }, "the status of a policy could not be written");
    }
  }

  #warningsOf(kinds: readonly KindInfo[], { matchConstraints, validations = [], variables = [] }: PolicySpec): Warning[] {
    // Variables have types of their own, which are not followed.
    if (variables.length > 0) return [];
    const named = kinds.filter((kind) => matchConstraints?.resourceRules?.some(({ apiGroups = [], apiVersions = [], resources = [] }) => apiGroups.includes(kind.group) && apiVersions.includes(kind.version) && resources.includes(kind.plural)));
    const found = new Map<string, string>();
    for (const kind of named.slice(0, MAX_KINDS)) {
      validations.forEach(({ expression, messageExpression }, index) => {
        for (const [name, source] of [["expression", expression], ["messageExpression", messageExpression]] as const) {
          const problem = source === undefined ? undefined : this.#problemWith(kind, source);
          if (problem !== undefined) found.set(`spec.validations[${index}].${name}`, `${found.get(`spec.validations[${index}].${name}`) ?? ""}${kind.group}/${kind.version}, Kind=${kind.kind}: ${problem}\n`);
        }
      });
    }
    return [...found].map(([fieldRef, warning]) => ({ fieldRef, warning }));
  }

  #problemWith(kind: KindInfo, source: string): string | undefined {
    const node = this.schema.schemaFor(kind);
    if (!node) return undefined;
    const env = policyEnvironment((base) => declareType(base, jsonSchemaOf(node, MAX_DEPTH), "Object"));
    try {
      compile(env, source);
      return undefined;
    } catch (error) {
      return (error as Error).message.replace(/^compilation failed: /, "");
    }
  }
}

const SCALARS: Readonly<Record<string, JsonSchema>> = {
  string: { type: "string" }, boolean: { type: "boolean" }, integer: { type: "integer" }, number: { type: "number" }, bytes: { type: "string", format: "byte" },
  intOrString: { "x-kubernetes-int-or-string": true }, time: { type: "string", format: "date-time" }, microTime: { type: "string", format: "date-time" },
};
const ANYTHING: JsonSchema = { "x-kubernetes-preserve-unknown-fields": true };

function jsonSchemaOf(node: SchemaNode, depth: number): JsonSchema {
  if (depth === 0) return ANYTHING;
  if (node.type === "list") return { type: "array", items: node.items ? jsonSchemaOf(node.items, depth - 1) : ANYTHING };
  if (node.type === "map") return { type: "object", additionalProperties: node.items ? jsonSchemaOf(node.items, depth - 1) : ANYTHING };
  if (node.type !== "object") return SCALARS[node.type] ?? ANYTHING;
  return { type: "object", properties: Object.fromEntries([...node.fields].map(([name, field]) => [name, jsonSchemaOf(field, depth - 1)])) };
}
