// How many requests the API server takes on at once and for how long, from flags: priority and fairness, or plain limits without it.
import { Auditor } from "../control/apiserver/audit/auditor.ts";
import { LogFile } from "../control/apiserver/audit/logfile.ts";
import { parsePolicy } from "../control/apiserver/audit/policy.ts";
import { FlowControl } from "../control/apiserver/flowcontrol/control.ts";
import { InFlightLimits } from "../control/apiserver/flowcontrol/inflight.ts";
import { ensureDefaults, keepFlowObjects, type KeepDeps } from "../control/apiserver/flowcontrol/keep.ts";
import type { Extension } from "../control/apiserver/engine.ts";
import type { Timeouts } from "../control/apiserver/http/serve.ts";
import type { ShutdownOptions } from "../control/apiserver/http/server.ts";
import type { HttpOptions } from "../control/apiserver/server.ts";
import { UsageError, type Values } from "./flags.ts";
import { parseDuration } from "./token.ts";
import { fromFile } from "./tokens.ts";

/** What limits requests, what must run for it, and what keeps its stored objects in shape. */
export interface RequestOptions {
  readonly http: Pick<HttpOptions, "limits" | "timeouts" | "shutdown" | "audit">;
  readonly extensions: readonly Extension[];
  keep(deps: Omit<KeepDeps, "onChange">): Promise<void>;
}

/** How long requests may take, and how the server ends. */
export function requestTimes(values: Values): { timeouts: Timeouts; shutdown: ShutdownOptions } {
  const ms = (flag: string): number => parseDuration(values[flag] as string);
  return {
    timeouts: { requestMs: ms("request-timeout"), minRequestSeconds: Number(values["min-request-timeout"]) },
    shutdown: { delayMs: ms("shutdown-delay-duration"), graceMs: ms("shutdown-grace-period") },
  };
}

/** Reads the flags; numbers for `/metrics` are added to `figures`. */
export function requestOptions(values: Values, figures: Set<() => string>): RequestOptions {
  const reads = Number(values["max-requests-inflight"]);
  const writes = Number(values["max-mutating-requests-inflight"]);
  const audit = auditor(values);
  if (audit) figures.add(() => audit.text());
  const http = { ...requestTimes(values), ...(audit && { audit }) };
  if (values["enable-priority-and-fairness"] === "false" || reads + writes === 0) return { http: { ...http, limits: { inFlight: new InFlightLimits({ reads, writes }) } }, extensions: [], keep: ({ client }) => ensureDefaults(client) };
  const flowControl = new FlowControl({ seats: reads + writes });
  figures.add(() => flowControl.text());
  return { http: { ...http, limits: { flowControl } }, extensions: [flowControl], keep: (deps) => keepFlowObjects({ ...deps, onChange: (changed) => flowControl.onChange(changed) }) };
}

const MEGABYTE = 1024 * 1024;
const DAY_MS = 24 * 3_600_000;

/** What records requests; both a policy and a place to write to are needed. Throws UsageError for a policy that cannot be meant. */
export function auditor(values: Values): Auditor | undefined {
  const { "audit-policy-file": policyFile, "audit-log-path": path } = values;
  const policy = policyFile === undefined ? undefined : fromFile("audit-policy-file", policyFile, parsePolicy);
  if (policy && path === undefined) throw new UsageError("--audit-policy-file: say where events go with --audit-log-path");
  if (path !== undefined && !policy) throw new UsageError("--audit-log-path: say what is recorded with --audit-policy-file");
  if (!policy || path === undefined) return undefined;
  const count = (flag: string): number => Number(values[flag]);
  return new Auditor(policy, new LogFile({ path, maxBytes: (count("audit-log-maxsize") || 100) * MEGABYTE, maxAgeMs: count("audit-log-maxage") * DAY_MS, maxBackups: count("audit-log-maxbackup") }));
}
