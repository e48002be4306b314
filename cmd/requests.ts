// How many requests the API server takes on at once and for how long, from flags: priority and fairness, or plain limits without it.
import { FlowControl } from "../control/apiserver/flowcontrol/control.ts";
import { InFlightLimits } from "../control/apiserver/flowcontrol/inflight.ts";
import { ensureDefaults, keepFlowObjects, type KeepDeps } from "../control/apiserver/flowcontrol/keep.ts";
import type { Extension } from "../control/apiserver/engine.ts";
import type { Timeouts } from "../control/apiserver/http/serve.ts";
import type { ShutdownOptions } from "../control/apiserver/http/server.ts";
import type { HttpOptions } from "../control/apiserver/server.ts";
import { auditor } from "./audit.ts";
import type { Values } from "./flags.ts";
import { parseDuration } from "./token.ts";

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
