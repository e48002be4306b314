// Rules for environment variables and where their values come from, and for the downward API's fields.
import { field, type FieldError } from "../../../../../api/errors.ts";
import { canonicalQuantity } from "../../../../../api/quantity.ts";
import type { Container, EnvVar } from "../../../../../api/types.ts";
import { check, configKey, dnsLabel, dnsSubdomain, envVarName, forPrefix, qualifiedName } from "../../validation/names.ts";
import { checkNoBacksteps } from "./paths.ts";

type ValueFrom = NonNullable<EnvVar["valueFrom"]>;

const ENV_FIELDS = ["metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName", "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"];
/** The fields a downward API volume can write to files. */
export const VOLUME_FIELDS = ["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];
const KNOWN_FIELDS = new Set([...ENV_FIELDS, ...VOLUME_FIELDS, "spec.restartPolicy", "spec.schedulerName", "spec.hostname", "status.phase"]);
const RESOURCES = ["limits.cpu", "limits.ephemeral-storage", "limits.memory", "requests.cpu", "requests.ephemeral-storage", "requests.memory"];
const BYTES = ["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];
const SUBSCRIPTED = /^(.*)\['(.*)'\]$/;

/** `env`. */
export function checkEnv(errors: FieldError[], path: string, env: readonly EnvVar[] | undefined): void {
  if (!env) return;
  for (let index = 0; index < env.length; index++) {
    const variable = env[index] as EnvVar;
    if (!variable.name) errors.push(field.required(`${path}[${index}].name`));
    else if (envVarName(variable.name).length > 0) check(errors, `${path}[${index}].name`, variable.name, envVarName);
    if (variable.valueFrom) checkValueFrom(errors, `${path}[${index}].valueFrom`, variable);
  }
}

/** `envFrom`. */
export function checkEnvFrom(errors: FieldError[], path: string, sources: Container["envFrom"]): void {
  for (const [index, { prefix, configMapRef, secretRef }] of (sources ?? []).entries()) {
    const at = `${path}[${index}]`;
    if (prefix) check(errors, `${at}.prefix`, prefix, envVarName);
    for (const [kind, ref] of [["configMapRef", configMapRef], ["secretRef", secretRef]] as const) {
      if (!ref) continue;
      if (!ref.name) errors.push(field.required(`${at}.${kind}.name`));
      else for (const sentence of forPrefix(dnsSubdomain)(ref.name, true)) errors.push(field.invalid(`${at}.${kind}.name`, ref.name, sentence));
    }
    if (!configMapRef && !secretRef) errors.push(field.invalid(path, "", "must specify one of: `configMapRef` or `secretRef`"));
    else if (configMapRef && secretRef) errors.push(field.invalid(path, "", "may not have more than one field specified at a time"));
  }
}

function checkValueFrom(errors: FieldError[], path: string, { value, valueFrom = {} }: EnvVar): void {
  const { fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef, fileKeyRef } = valueFrom;
  if (fieldRef) checkFieldRef(errors, `${path}.fieldRef`, fieldRef, ENV_FIELDS);
  if (resourceFieldRef) checkResourceFieldRef(errors, `${path}.resourceFieldRef`, resourceFieldRef, false);
  if (configMapKeyRef) checkKeyRef(errors, `${path}.configMapKeyRef`, configMapKeyRef);
  if (secretKeyRef) checkKeyRef(errors, `${path}.secretKeyRef`, secretKeyRef);
  if (fileKeyRef) checkFileKeyRef(errors, `${path}.fileKeyRef`, fileKeyRef);
  const sources = [fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef, fileKeyRef].filter(Boolean).length;
  if (sources === 0) errors.push(field.invalid(path, "", "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"));
  else if (value) errors.push(field.invalid(path, "", "may not be specified when `value` is not empty"));
  else if (sources > 1) errors.push(field.invalid(path, "", "may not have more than one field specified at a time"));
}

function checkKeyRef(errors: FieldError[], path: string, { name = "", key }: NonNullable<ValueFrom["configMapKeyRef"]>): void {
  check(errors, `${path}.name`, name, dnsSubdomain);
  if (!key) errors.push(field.required(`${path}.key`));
  else check(errors, `${path}.key`, key, configKey);
}

function checkFileKeyRef(errors: FieldError[], path: string, { key, volumeName, path: file }: NonNullable<ValueFrom["fileKeyRef"]>): void {
  if (!key) errors.push(field.required(`${path}.key`));
  else check(errors, `${path}.key`, key, envVarName);
  if (!volumeName) errors.push(field.required(`${path}.volumeName`));
  else check(errors, `${path}.volumeName`, volumeName, dnsLabel);
  if (!file) errors.push(field.required(`${path}.path`));
  else checkNoBacksteps(errors, `${path}.path`, file);
}

/** A field of the pod; `allowed` are those without a subscript. */
export function checkFieldRef(errors: FieldError[], path: string, { apiVersion, fieldPath }: NonNullable<ValueFrom["fieldRef"]>, allowed: readonly string[]): void {
  if (!apiVersion) return void errors.push(field.required(`${path}.apiVersion`));
  if (!fieldPath) return void errors.push(field.required(`${path}.fieldPath`));
  if (apiVersion !== "v1") return void errors.push(field.invalid(`${path}.fieldPath`, fieldPath, `error converting fieldPath: unsupported pod version: ${apiVersion}`));
  const [, base, subscript] = SUBSCRIPTED.exec(fieldPath) ?? [];
  if (base !== undefined && subscript !== undefined) {
    if (base === "metadata.annotations") check(errors, path, subscript.toLowerCase(), qualifiedName);
    else if (base === "metadata.labels") check(errors, path, subscript, qualifiedName);
    else errors.push(field.invalid(`${path}.fieldPath`, fieldPath, `error converting fieldPath: field label does not support subscript: ${fieldPath}`));
  } else if (!allowed.includes(fieldPath)) {
    errors.push(KNOWN_FIELDS.has(fieldPath) ? field.notSupported(`${path}.fieldPath`, fieldPath, allowed) : field.invalid(`${path}.fieldPath`, fieldPath, `error converting fieldPath: field label not supported: ${fieldPath}`));
  }
}

/** A resource of a container; volumes must say of which. */
export function checkResourceFieldRef(errors: FieldError[], path: string, { containerName, resource, divisor }: NonNullable<ValueFrom["resourceFieldRef"]>, needsContainer: boolean): void {
  if (needsContainer && !containerName) errors.push(field.required(`${path}.containerName`));
  else if (!resource) errors.push(field.required(`${path}.resource`));
  else if (!RESOURCES.includes(resource) && !/^(requests|limits)\.hugepages-/.test(resource)) errors.push(field.notSupported(`${path}.resource`, resource, RESOURCES));
  const unit = divisor === undefined ? "0" : canonicalQuantity(String(divisor));
  if (unit === "0" || !resource) return;
  const refuse = (what: string, values: readonly string[]): void => void errors.push(field.invalid(`${path}.divisor`, resource, `only divisor's values ${values.join(", ")} are supported with the ${what} resource`));
  if (resource.endsWith(".cpu")) {
    if (unit !== "1m" && unit !== "1") errors.push(field.invalid(`${path}.divisor`, resource, "only divisor's values 1m and 1 are supported with the cpu resource"));
  } else if (!BYTES.includes(unit)) {
    refuse(resource.endsWith(".memory") ? "memory" : resource.includes(".hugepages-") ? "hugepages" : "local ephemeral storage", BYTES);
  }
}
