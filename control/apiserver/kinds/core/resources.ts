// Rules for names and amounts of resources, shared by containers, nodes, quotas and limits.
import { field, type FieldError } from "../../../../api/errors.ts";
import { parseQuantity, type Quantity, QuantityError } from "../../../../api/quantity.ts";
import { qualifiedName } from "../validation/names.ts";

const NANO = 1_000_000_000n;
const STANDARD_CONTAINER = new Set(["cpu", "memory", "ephemeral-storage"]);
const INTEGER = new Set(["pods", "services", "replicationcontrollers", "resourcequotas", "secrets", "configmaps", "persistentvolumeclaims", "services.nodeports", "services.loadbalancers"]);
const STANDARD = new Set([...STANDARD_CONTAINER, ...INTEGER, "requests.cpu", "requests.memory", "requests.ephemeral-storage", "limits.cpu", "limits.memory", "limits.ephemeral-storage", "storage", "requests.storage"]);
const QUOTA = new Set([...STANDARD_CONTAINER, ...INTEGER, "requests.cpu", "requests.memory", "requests.storage", "requests.ephemeral-storage", "limits.cpu", "limits.memory", "limits.ephemeral-storage"]);
const POD_LEVEL = ["cpu", "hugepages-", "memory"];

export const isHugePages = (name: string): boolean => name.startsWith("hugepages-");
const isNative = (name: string): boolean => !name.includes("/") || name.includes("kubernetes.io/");

/** A resource some device plugin offers, under a domain of its own. */
export function isExtended(name: string): boolean {
  if (isNative(name) || name.startsWith("requests.")) return false;
  return qualifiedName(`requests.${name}`).length === 0;
}

/** Whether more may be promised than there is. */
export const isOvercommitAllowed = (name: string): boolean => isNative(name) && !isHugePages(name);

const isStandard = (name: string): boolean => STANDARD.has(name) || isHugePages(name) || name.startsWith("requests.hugepages-");

type NameCheck = (errors: FieldError[], path: string, name: string) => void;

/** Any resource: a standard one or one under a domain. */
export const checkResourceName: NameCheck = (errors, path, name) => {
  if (STANDARD_CONTAINER.has(name)) return;
  const sentences = qualifiedName(name);
  for (const sentence of sentences) errors.push(field.invalid(path, name, sentence));
  if (sentences.length === 0 && !name.includes("/") && !isStandard(name)) errors.push(field.invalid(path, name, "must be a standard resource type or fully qualified"));
};

/** A resource a container can ask for. */
export const checkContainerResourceName: NameCheck = (errors, path, name) => {
  if (STANDARD_CONTAINER.has(name)) return;
  checkResourceName(errors, path, name);
  if (!name.includes("/")) {
    if (!isHugePages(name)) errors.push(field.invalid(path, name, "must be a standard resource for containers"));
  } else if (!isNative(name) && !isExtended(name)) errors.push(field.invalid(path, name, "doesn't follow extended resource name standard"));
};

/** A resource a whole pod can ask for. */
export const checkPodResourceName: NameCheck = (errors, path, name) => {
  const before = errors.length;
  checkResourceName(errors, path, name);
  if (errors.length === before && name !== "cpu" && name !== "memory" && !isHugePages(name)) errors.push(field.notSupported(path, name, POD_LEVEL));
};

/** A resource a quota can count. */
export const checkQuotaResourceName: NameCheck = (errors, path, name) => {
  checkResourceName(errors, path, name);
  if (!name.includes("/") && !QUOTA.has(name) && !isHugePages(name) && !name.startsWith("requests.hugepages-")) errors.push(field.invalid(path, name, "must be a standard resource for quota"));
};

/** An amount of a resource: not below zero, and whole where parts make no sense. */
export function checkAmount(errors: FieldError[], path: string, name: string, text: string): void {
  const quantity = quantityOrError(errors, path, text);
  if (!quantity) return;
  if (quantity.nano < 0n) errors.push(field.invalid(path, text, "must be greater than or equal to 0"));
  if ((INTEGER.has(name) || isExtended(name)) && quantity.nano % NANO !== 0n) errors.push(field.invalid(path, text, "must be an integer"));
}

/** Reads an amount, or says why it cannot be read. */
export function quantityOrError(errors: FieldError[], path: string, text: string): Quantity | undefined {
  try {
    return parseQuantity(text);
  } catch (error) {
    if (!(error instanceof QuantityError)) throw error;
    errors.push(field.invalid(path, text, error.message));
    return undefined;
  }
}

/** One amount of a list; a resource may be called as what every object has, `constructor` say. */
export function amountOf(list: Readonly<Record<string, string>> | undefined, name: string): string | undefined {
  return list && Object.hasOwn(list, name) ? list[name] : undefined;
}

/** Names and amounts of a whole list. */
export function checkResourceList(errors: FieldError[], path: string, list: Readonly<Record<string, string>> | undefined, checkName: NameCheck): void {
  for (const name in list) {
    const at = `${path}[${name}]`;
    checkName(errors, at, name);
    checkAmount(errors, at, name, list[name] as string);
  }
}
