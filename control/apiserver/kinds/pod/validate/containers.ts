// Rules for containers: the ordinary, the initial and the ephemeral ones.
import { field, type FieldError } from "../../../../../api/errors.ts";
import type { Container, ContainerPort, EphemeralContainer, PodSpec } from "../../../../../api/types.ts";
import { check, dnsLabel, portName, portNumber } from "../../validation/names.ts";
import { checkOneOf } from "../../validation/values.ts";
import type { PodContext } from "./context.ts";
import { checkEnv, checkEnvFrom } from "./env.ts";
import { checkDevices, checkMounts } from "./mounts.ts";
import { checkLifecycle, checkProbes } from "./probes.ts";
import { checkContainerResources, checkResizePolicy } from "./resources.ts";
import { checkContainerSecurity } from "./security.ts";

const PROTOCOLS = ["SCTP", "TCP", "UDP"];
const PULL_POLICIES = ["Always", "IfNotPresent", "Never"];
const MESSAGE_POLICIES = ["File", "FallbackToLogsOnError"];
const RESTART_POLICIES = ["Always", "Never", "OnFailure"];
const RULE_ACTIONS = ["Restart", "RestartAllContainers"];
const NOT_EPHEMERAL = ["ports", "lifecycle", "livenessProbe", "readinessProbe", "startupProbe", "resizePolicy", "restartPolicyRules"] as const;

/** All containers of a pod. */
export function checkContainers(errors: FieldError[], path: string, spec: PodSpec, pod: PodContext): void {
  const { containers, initContainers, ephemeralContainers } = spec;
  if (!containers?.length) errors.push(field.required(`${path}.containers`));
  const names = new Set<string>();
  const hostPorts = new Set<string>();
  for (const [index, container] of (containers ?? []).entries()) {
    const at = `${path}.containers[${index}]`;
    checkContainer(errors, at, container, pod);
    checkUniqueName(errors, at, container.name, names);
    if (container.lifecycle) checkLifecycle(errors, `${at}.lifecycle`, container.lifecycle, pod);
    checkProbes(errors, at, container, pod);
    checkRestartRules(errors, at, container);
    checkHostPorts(errors, at, container.ports, hostPorts);
  }
  for (const [index, container] of (initContainers ?? []).entries()) checkInitContainer(errors, `${path}.initContainers[${index}]`, container, { pod, names });
  if (ephemeralContainers?.length) checkEphemeralContainers(errors, `${path}.ephemeralContainers`, ephemeralContainers, { pod, names });
}

interface Siblings {
  readonly pod: PodContext;
  readonly names: Set<string>;
}

function checkInitContainer(errors: FieldError[], path: string, container: Container, { pod, names }: Siblings): void {
  checkContainer(errors, path, container, pod);
  checkRestartRules(errors, path, container);
  if (container.name) checkUniqueName(errors, path, container.name, names);
  checkHostPorts(errors, path, container.ports, new Set());
  const isSidecar = container.restartPolicy === "Always";
  if (isSidecar) {
    if (container.lifecycle) checkLifecycle(errors, `${path}.lifecycle`, container.lifecycle, pod);
    return checkProbes(errors, path, container, pod);
  }
  for (const name of ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] as const) {
    if (container[name]) errors.push(field.forbidden(`${path}.${name}`, "may not be set for init containers without restartPolicy=Always"));
  }
  for (const [index, { restartPolicy }] of (container.resizePolicy ?? []).entries()) {
    if (restartPolicy === "RestartContainer") errors.push(field.invalid(`${path}.resizePolicy[${index}].restartPolicy`, restartPolicy, "must not be set to 'RestartContainer' for non-sidecar initContainers"));
  }
}

function checkEphemeralContainers(errors: FieldError[], path: string, containers: readonly EphemeralContainer[], { pod, names }: Siblings): void {
  const targets = new Set(names);
  const forbidden = "cannot be set for an Ephemeral Container";
  for (const [index, container] of containers.entries()) {
    const at = `${path}[${index}]`;
    checkContainer(errors, at, container as Container, pod);
    checkImageSpace(errors, at, container);
    checkUniqueName(errors, at, container.name, names);
    if (container.targetContainerName && !targets.has(container.targetContainerName)) errors.push(field.notFound(`${at}.targetContainerName`, container.targetContainerName));
    for (const name of NOT_EPHEMERAL) if (container[name] !== undefined) errors.push(field.forbidden(`${at}.${name}`, forbidden));
    if (Object.keys(container.resources ?? {}).length > 0) errors.push(field.forbidden(`${at}.resources`, forbidden));
    for (const [mountIndex, { subPath, subPathExpr }] of (container.volumeMounts ?? []).entries()) {
      if (subPath) errors.push(field.forbidden(`${at}.volumeMounts[${mountIndex}].subPath`, forbidden));
      if (subPathExpr) errors.push(field.forbidden(`${at}.volumeMounts[${mountIndex}].subPathExpr`, forbidden));
    }
  }
}

/** An image may not be padded with spaces in a pod (templates are older than this rule). */
export function checkImageSpace(errors: FieldError[], path: string, { image = "" }: { image?: string | undefined }): void {
  if (image.trim() !== image) errors.push(field.invalid(`${path}.image`, image, "must not have leading or trailing whitespace"));
}

function checkContainer(errors: FieldError[], path: string, container: Container, pod: PodContext): void {
  const { name, image, terminationMessagePolicy, ports, env, envFrom, imagePullPolicy, resources, resizePolicy, securityContext } = container;
  if (!name) errors.push(field.required(`${path}.name`));
  else check(errors, `${path}.name`, name, dnsLabel);
  if (!image) errors.push(field.required(`${path}.image`));
  checkOneOf(errors, `${path}.terminationMessagePolicy`, terminationMessagePolicy, MESSAGE_POLICIES);
  if (ports) checkPorts(errors, `${path}.ports`, ports);
  checkEnv(errors, `${path}.env`, env);
  if (envFrom) checkEnvFrom(errors, `${path}.envFrom`, envFrom);
  checkMounts(errors, `${path}.volumeMounts`, container, pod);
  if (container.volumeDevices) checkDevices(errors, `${path}.volumeDevices`, container, pod);
  checkOneOf(errors, `${path}.imagePullPolicy`, imagePullPolicy, PULL_POLICIES);
  checkContainerResources(errors, `${path}.resources`, resources, pod);
  if (resizePolicy) checkResizePolicy(errors, `${path}.resizePolicy`, resizePolicy, pod);
  if (securityContext) checkContainerSecurity(errors, `${path}.securityContext`, securityContext, pod);
}

function checkUniqueName(errors: FieldError[], path: string, name: string, names: Set<string>): void {
  if (names.has(name)) errors.push(field.duplicate(`${path}.name`, name));
  names.add(name);
}

function checkPorts(errors: FieldError[], path: string, ports: readonly ContainerPort[]): void {
  const names = new Set<string>();
  for (const [index, { name, containerPort, hostPort, protocol }] of ports.entries()) {
    const at = `${path}[${index}]`;
    if (name) {
      const sentences = portName(name);
      for (const sentence of sentences) errors.push(field.invalid(`${at}.name`, name, sentence));
      if (sentences.length === 0 && names.has(name)) errors.push(field.duplicate(`${at}.name`, name));
      names.add(name);
    }
    if (!containerPort) errors.push(field.required(`${at}.containerPort`));
    else for (const sentence of portNumber(containerPort)) errors.push(field.invalid(`${at}.containerPort`, containerPort, sentence));
    if (hostPort) for (const sentence of portNumber(hostPort)) errors.push(field.invalid(`${at}.hostPort`, hostPort, sentence));
    checkOneOf(errors, `${at}.protocol`, protocol, PROTOCOLS);
  }
}

function checkHostPorts(errors: FieldError[], path: string, ports: readonly ContainerPort[] | undefined, taken: Set<string>): void {
  for (const [index, { hostPort, hostIP = "", protocol }] of (ports ?? []).entries()) {
    if (!hostPort) continue;
    const key = `${protocol}/${hostIP}/${hostPort}`;
    if (taken.has(key)) errors.push(field.duplicate(`${path}.ports[${index}].hostPort`, key));
    taken.add(key);
  }
}

function checkRestartRules(errors: FieldError[], path: string, { restartPolicy, restartPolicyRules }: Container): void {
  if (restartPolicy === undefined) {
    if (restartPolicyRules?.length) errors.push(field.required(`${path}.restartPolicy`, "must specify restartPolicy when restart rules are used"));
  } else if (!RESTART_POLICIES.includes(restartPolicy)) errors.push(field.notSupported(`${path}.restartPolicy`, restartPolicy, RESTART_POLICIES));
  if (!restartPolicyRules) return;
  if (restartPolicyRules.length > 20) errors.push(field.tooMany(`${path}.restartPolicyRules`, restartPolicyRules.length, 20));
  for (const [index, { action, exitCodes }] of restartPolicyRules.entries()) {
    const at = `${path}.restartPolicyRules[${index}]`;
    if (!RULE_ACTIONS.includes(action)) errors.push(field.notSupported(`${at}.action`, action, RULE_ACTIONS));
    if (!exitCodes) errors.push(field.required(`${at}.exitCodes`, "must be specified"));
    else if (!["In", "NotIn"].includes(exitCodes.operator)) errors.push(field.notSupported(`${at}.exitCodes.operator`, exitCodes.operator, ["In", "NotIn"]));
  }
}
