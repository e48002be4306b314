// Rules for what containers and pods ask for.
import { field, type FieldError } from "../../../../../api/errors.ts";
import { compareQuantities, parseQuantity } from "../../../../../api/quantity.ts";
import type { Container, PodSpec, ResourceRequirements } from "../../../../../api/types.ts";
import { amountOf, checkAmount, checkContainerResourceName, checkPodResourceName, isHugePages, isOvercommitAllowed } from "../../core/resources.ts";
import { aggregateResources } from "../../../../../api/podresources.ts";
import type { PodContext } from "./context.ts";

type NameCheck = typeof checkContainerResourceName;
const POLICIES = ["NotRequired", "RestartContainer"];

/** `resources` of a container. */
export function checkContainerResources(errors: FieldError[], path: string, resources: ResourceRequirements | undefined, pod: Pick<PodContext, "claimNames">): void {
  if (!resources) return;
  checkRequirements(errors, path, resources, checkContainerResourceName);
  for (const [index, { name }] of (resources.claims ?? []).entries()) {
    if (!name) errors.push(field.required(`${path}.claims[${index}]`));
    else if (!pod.claimNames.has(name)) {
      const known = [...pod.claimNames].sort();
      errors.push({ ...field.notFound(`${path}.claims[${index}]`, name), message: `Not found: ${JSON.stringify(name)}: must be one of the names in pod.spec.resourceClaims${known.length === 0 ? " which is empty" : `: ${known.join(", ")}`}` });
    }
  }
}

/** `resources` of a whole pod, and how they fit its containers. */
export function checkPodResources(errors: FieldError[], path: string, spec: PodSpec): void {
  const { resources } = spec;
  if (!resources) return;
  const at = `${path}.resources`;
  if (spec.os?.name === "windows") return void errors.push(field.forbidden(at, "may not be set for a windows pod"));
  if (resources.claims) errors.push(field.forbidden(`${at}.claims`, "claims may not be set for Resources at pod-level"));
  checkRequirements(errors, at, resources, checkPodResourceName);
  for (const [name, amount] of Object.entries(aggregateResources(spec, "requests"))) {
    const own = amountOf(resources.requests, name);
    if (own !== undefined && isMore(amount, own)) errors.push(field.invalid(`${at}.requests[${name}]`, own, `must be greater than or equal to aggregate container requests of ${amount}`));
  }
  for (const [index, container] of spec.containers.entries()) {
    for (const [name, limit] of Object.entries(container.resources?.limits ?? {})) {
      const own = amountOf(resources.limits, name);
      if (own !== undefined && isMore(limit, own)) errors.push(field.invalid(`${at}.containers[${index}][${name}].limits`, limit, `must be less than or equal to pod limits of ${own}`));
    }
  }
}

/** `resizePolicy` of a container. */
export function checkResizePolicy(errors: FieldError[], path: string, policies: Container["resizePolicy"], { restartPolicy }: PodContext): void {
  const seen = new Set<string>();
  for (const [index, { resourceName, restartPolicy: policy }] of (policies ?? []).entries()) {
    if (seen.has(resourceName)) errors.push(field.duplicate(`${path}[${index}]`, resourceName));
    seen.add(resourceName);
    if (!resourceName) errors.push(field.required(path));
    else if (resourceName !== "cpu" && resourceName !== "memory") errors.push(field.notSupported(path, resourceName, ["cpu", "memory"]));
    if (!policy) errors.push(field.required(path));
    else if (!POLICIES.includes(policy)) errors.push(field.notSupported(path, policy, POLICIES));
    if (restartPolicy === "Never" && policy !== "NotRequired") errors.push(field.invalid(path, policy, "must be 'NotRequired' when pod `restartPolicy` is 'Never'"));
  }
}

function checkRequirements(errors: FieldError[], path: string, { limits, requests }: ResourceRequirements, checkName: NameCheck): void {
  for (const name in limits) checkOne(errors, `${path}.limits[${name}]`, { name, amount: limits[name] as string, checkName });
  for (const name in requests) {
    const amount = requests[name] as string;
    checkOne(errors, `${path}.requests[${name}]`, { name, amount, checkName });
    const limit = amountOf(limits, name);
    if (limit === undefined) {
      if (!isOvercommitAllowed(name)) errors.push(field.required(`${path}.limits`, "Limit must be set for non overcommitable resources"));
    } else if (limit !== amount) compare(errors, `${path}.requests`, { name, amount, limit });
  }
  const names = [...Object.keys(limits ?? {}), ...Object.keys(requests ?? {})];
  if (names.some(isHugePages) && !names.includes("cpu") && !names.includes("memory")) errors.push(field.forbidden(path, "HugePages require cpu or memory"));
}

function checkOne(errors: FieldError[], path: string, { name, amount, checkName }: { name: string; amount: string; checkName: NameCheck }): void {
  checkName(errors, path, name);
  checkAmount(errors, path, name, amount);
  if (!isHugePages(name)) return;
  const size = parseQuantity(name.slice("hugepages-".length)).nano;
  if (size > 0n && parseQuantity(amount).nano % size !== 0n) errors.push(field.invalid(path, amount, `${amount} is not positive integer multiple of ${name}`));
}

function compare(errors: FieldError[], path: string, { name, amount, limit }: { name: string; amount: string; limit: string }): void {
  const order = compareQuantities(parseQuantity(amount), parseQuantity(limit));
  if (order !== 0 && !isOvercommitAllowed(name)) errors.push(field.invalid(path, amount, `must be equal to ${name} limit of ${limit}`));
  else if (order > 0) errors.push(field.invalid(path, amount, `must be less than or equal to ${name} limit of ${limit}`));
}

function isMore(a: string, b: string): boolean {
  return compareQuantities(parseQuantity(a), parseQuantity(b)) > 0;
}
