// Priority: a pod's priority is a number its class stands for, and nobody else's say; one class at most is the default.
import type { Client } from "../../../api/client/client.ts";
import { isNotFound } from "../../../api/errors.ts";
import { builtinKind } from "../../../api/registry.ts";
import type { Pod, PodSpec, PriorityClass } from "../../../api/types.ts";
import { isOn, refuse } from "./attributes.ts";
import type { AdmissionPlugin, Attributes } from "./plugin.ts";

const PRIORITY_CLASS = builtinKind("scheduling.k8s.io", "v1", "PriorityClass");
const LOWER = "PreemptLowerPriority";

interface Priority {
  readonly className: string;
  readonly value: number;
  readonly preemptionPolicy: string;
}

/** Sets priorities. */
export function priority(): AdmissionPlugin {
  return {
    name: "Priority",
    concerns: (door) => isOn(door, "pods", ["CREATE", "UPDATE"]) || isOn(door, "priorityclasses", ["CREATE", "UPDATE"]),
    admit: (attributes, client) => {
      if (attributes.kind.plural === "pods") return admitPod(attributes, client);
    },
    validate: (attributes, client) => {
      if (attributes.kind.plural === "priorityclasses") return requireOneDefault(attributes, client);
    },
  };
}

async function admitPod(attributes: Attributes, client: Client): Promise<void> {
  const spec = (attributes.object as Pod).spec as PodSpec;
  if (attributes.operation === "UPDATE") {
    const old = (attributes.oldObject as Pod).spec;
    if (old?.priority !== undefined) spec.priority ??= old.priority;
    if (old?.preemptionPolicy !== undefined) spec.preemptionPolicy ??= old.preemptionPolicy;
    return;
  }
  const { className, value, preemptionPolicy } = spec.priorityClassName ? await named(attributes, client, spec.priorityClassName) : await standard(client);
  if (className !== "") spec.priorityClassName = className;
  if (spec.priority !== undefined && spec.priority !== value) throw refuse(attributes, `the integer value of priority (${spec.priority}) must not be provided in pod spec; priority admission controller computed ${value} from the given PriorityClass name`);
  if (spec.preemptionPolicy !== undefined && spec.preemptionPolicy !== preemptionPolicy) throw refuse(attributes, `the string value of PreemptionPolicy (${spec.preemptionPolicy}) must not be provided in pod spec; priority admission controller computed ${preemptionPolicy} from the given PriorityClass name`);
  spec.priority = value;
  spec.preemptionPolicy = preemptionPolicy;
}

async function named(attributes: Attributes, client: Client, name: string): Promise<Priority> {
  try {
    return priorityOf(await client.get<PriorityClass>(PRIORITY_CLASS, { name }));
  } catch (error) {
    if (!isNotFound(error)) throw error;
    throw refuse(attributes, `no PriorityClass with name ${name} was found`);
  }
}

/** Of several defaults, which cannot be but may have been, the least important one. */
async function standard(client: Client): Promise<Priority> {
  const { items } = await client.list<PriorityClass>(PRIORITY_CLASS);
  const defaults = items.filter(({ globalDefault }) => globalDefault).sort((a, b) => (a.value ?? 0) - (b.value ?? 0));
  return defaults[0] ? priorityOf(defaults[0]) : { className: "", value: 0, preemptionPolicy: LOWER };
}

function priorityOf({ metadata, value = 0, preemptionPolicy = LOWER }: PriorityClass): Priority {
  return { className: metadata.name ?? "", value, preemptionPolicy };
}

async function requireOneDefault(attributes: Attributes, client: Client): Promise<void> {
  const wanted = attributes.object as unknown as PriorityClass;
  if (!wanted.globalDefault) return;
  const { items } = await client.list<PriorityClass>(PRIORITY_CLASS);
  const other = items.find(({ globalDefault, metadata }) => globalDefault && metadata.name !== wanted.metadata.name);
  if (other) throw refuse(attributes, `PriorityClass ${other.metadata.name} is already marked as default. Only one default can exist`);
}
