// Rules for probes and lifecycle hooks.
import { field, type FieldError } from "../../../../../api/errors.ts";
import type { Container, IntOrString, Lifecycle, Probe } from "../../../../../api/types.ts";
import { check, patternSentence, portName, portNumber } from "../../validation/names.ts";
import { checkNonNegative } from "../../validation/values.ts";
import type { PodContext } from "./context.ts";

type Handler = Pick<Probe, "exec" | "httpGet" | "tcpSocket" | "grpc"> & { sleep?: { seconds: number } | undefined };

const HEADER = /^[-A-Za-z0-9]+$/;
const SCHEMES = ["HTTP", "HTTPS"];
const ONE_HANDLER = "may not specify more than 1 handler type";

/** All three probes of a container. */
export function checkProbes(errors: FieldError[], path: string, { livenessProbe, readinessProbe, startupProbe }: Container, pod: PodContext): void {
  if (livenessProbe) {
    checkProbe(errors, `${path}.livenessProbe`, livenessProbe, pod);
    checkOnce(errors, `${path}.livenessProbe`, livenessProbe);
  }
  if (readinessProbe) {
    checkProbe(errors, `${path}.readinessProbe`, readinessProbe, pod);
    if (readinessProbe.terminationGracePeriodSeconds !== undefined) errors.push(field.invalid(`${path}.readinessProbe.terminationGracePeriodSeconds`, readinessProbe.terminationGracePeriodSeconds, "must not be set for readinessProbes"));
  }
  if (startupProbe) {
    checkProbe(errors, `${path}.startupProbe`, startupProbe, pod);
    checkOnce(errors, `${path}.startupProbe`, startupProbe);
  }
}

/** `postStart`, `preStop` and the stop signal. */
export function checkLifecycle(errors: FieldError[], path: string, { postStart, preStop, stopSignal }: Lifecycle, pod: PodContext): void {
  if (postStart) checkHandler(errors, `${path}.postStart`, postStart as Handler, pod);
  if (preStop) checkHandler(errors, `${path}.preStop`, preStop as Handler, pod);
  if (stopSignal !== undefined && !pod.os) errors.push(field.forbidden(`${path}.stopSignal`, "may not be set for containers with empty `spec.os.name`"));
}

function checkOnce(errors: FieldError[], path: string, { successThreshold }: Probe): void {
  if (successThreshold !== 1) errors.push(field.invalid(`${path}.successThreshold`, successThreshold, "must be 1"));
}

function checkProbe(errors: FieldError[], path: string, probe: Probe, pod: PodContext): void {
  checkHandler(errors, path, probe, pod);
  for (const name of ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"] as const) checkNonNegative(errors, `${path}.${name}`, probe[name]);
  const grace = probe.terminationGracePeriodSeconds;
  if (grace !== undefined && grace <= 0) errors.push(field.invalid(`${path}.terminationGracePeriodSeconds`, grace, "must be greater than 0"));
}

function checkHandler(errors: FieldError[], path: string, { exec, httpGet, tcpSocket, grpc, sleep }: Handler, pod: PodContext): void {
  let handlers = 0;
  const only = (name: string): boolean => {
    if (++handlers === 1) return true;
    errors.push(field.forbidden(`${path}.${name}`, ONE_HANDLER));
    return false;
  };
  if (exec && only("exec") && !exec.command?.length) errors.push(field.required(`${path}.exec.command`));
  if (httpGet && only("httpGet")) checkHttpGet(errors, `${path}.httpGet`, httpGet);
  if (tcpSocket && only("tcpSocket")) checkPort(errors, `${path}.tcpSocket.port`, tcpSocket.port);
  if (grpc && only("grpc")) checkPort(errors, `${path}.grpc.port`, grpc.port);
  if (sleep && only("sleep")) {
    const grace = pod.gracePeriodSeconds;
    if (grace !== undefined && (sleep.seconds < 0 || sleep.seconds > grace)) errors.push(field.invalid(`${path}.sleep`, sleep.seconds, `must be non-negative and less than terminationGracePeriodSeconds (${grace})`));
  }
  if (handlers === 0) errors.push(field.required(path, "must specify a handler type"));
}

function checkHttpGet(errors: FieldError[], path: string, { path: url, port, scheme, httpHeaders }: NonNullable<Probe["httpGet"]>): void {
  if (!url) errors.push(field.required(`${path}.path`));
  checkPort(errors, `${path}.port`, port as IntOrString);
  if (!SCHEMES.includes(scheme ?? "")) errors.push(field.notSupported(`${path}.scheme`, scheme ?? "", SCHEMES));
  for (const { name } of httpHeaders ?? []) {
    if (!HEADER.test(name)) errors.push(field.invalid(`${path}.httpHeaders`, name, patternSentence("a valid HTTP header must consist of alphanumeric characters or '-'", "[-A-Za-z0-9]+", "X-Header-Name")));
  }
}

function checkPort(errors: FieldError[], path: string, port: IntOrString | undefined): void {
  if (typeof port === "string") check(errors, path, port, portName);
  else for (const sentence of portNumber(port ?? 0)) errors.push(field.invalid(path, port ?? 0, sentence));
}
