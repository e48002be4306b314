// RuntimeClass and DefaultIngressClass: what an object gets from the class it names, or from the default one.
import type { Client } from "../../../api/client/client.ts";
import { isNotFound } from "../../../api/errors.ts";
import { builtinKind } from "../../../api/registry.ts";
import type { Ingress, IngressClass, Pod, PodSpec, RuntimeClass, Toleration } from "../../../api/types.ts";
import { isEqual } from "../kinds/validation/values.ts";
import { isOn, refuse } from "./attributes.ts";
import type { AdmissionPlugin, Attributes } from "./plugin.ts";
import { newest } from "./storage.ts";

const RUNTIME_CLASS = builtinKind("node.k8s.io", "v1", "RuntimeClass");
const INGRESS_CLASS = builtinKind("networking.k8s.io", "v1", "IngressClass");
const MISMATCH = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";

/** A pod carries the overhead of its runtime and goes where that runtime is. */
export function runtimeClass(): AdmissionPlugin {
  return {
    name: "RuntimeClass",
    concerns: (door) => isOn(door, "pods", ["CREATE"]),
    async admit(attributes, client) {
      const spec = (attributes.object as Pod).spec as PodSpec;
      if (!spec.runtimeClassName) return;
      const { overhead, scheduling } = await classOf(attributes, client, spec.runtimeClassName);
      if (overhead?.podFixed) {
        if (Object.keys(spec.overhead ?? {}).length > 0 && !isEqual(spec.overhead, overhead.podFixed)) throw refuse(attributes, MISMATCH);
        spec.overhead = { ...overhead.podFixed };
      }
      if (scheduling) schedule(attributes, spec, scheduling);
    },
    async validate(attributes, client) {
      const spec = (attributes.object as Pod).spec as PodSpec;
      if (!spec.runtimeClassName && !spec.overhead) return;
      const wanted = spec.runtimeClassName ? (await classOf(attributes, client, spec.runtimeClassName)).overhead?.podFixed : undefined;
      if (wanted && !isEqual(spec.overhead, wanted)) throw refuse(attributes, MISMATCH);
      if (!wanted && spec.overhead) throw refuse(attributes, "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead");
    },
  };
}

async function classOf(attributes: Attributes, client: Client, name: string): Promise<RuntimeClass> {
  try {
    return await client.get<RuntimeClass>(RUNTIME_CLASS, { name });
  } catch (error) {
    if (!isNotFound(error)) throw error;
    throw refuse(attributes, `pod rejected: RuntimeClass ${JSON.stringify(name)} not found`);
  }
}

function schedule(attributes: Attributes, spec: PodSpec, { nodeSelector = {}, tolerations = [] }: NonNullable<RuntimeClass["scheduling"]>): void {
  for (const [key, value] of Object.entries(nodeSelector)) {
    const own = spec.nodeSelector?.[key];
    if (own !== undefined && own !== value) throw refuse(attributes, `conflict: runtimeClass.scheduling.nodeSelector[${key}] = ${value}; pod.spec.nodeSelector[${key}] = ${own}`);
    spec.nodeSelector = { ...spec.nodeSelector, [key]: value };
  }
  const isNew = (toleration: Toleration): boolean => !spec.tolerations?.some((own) => isEqual(own, toleration));
  const added = tolerations.filter(isNew);
  if (added.length > 0) spec.tolerations = [...(spec.tolerations ?? []), ...added];
}

/** An ingress that names no class gets the default one, where there is one. */
export function defaultIngressClass(): AdmissionPlugin {
  return {
    name: "DefaultIngressClass",
    concerns: (door) => isOn(door, "ingresses", ["CREATE"]),
    async admit({ object }, client) {
      const { metadata, spec } = object as Ingress;
      if (!spec || spec.ingressClassName !== undefined || metadata.annotations?.["kubernetes.io/ingress.class"] !== undefined) return;
      const { items } = await client.list<IngressClass>(INGRESS_CLASS);
      const name = newest(items.filter(({ metadata: { annotations } }) => annotations?.["ingressclass.kubernetes.io/is-default-class"] === "true"));
      if (name !== undefined) spec.ingressClassName = name;
    },
  };
}
