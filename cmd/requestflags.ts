// Flags of a control plane about the requests it serves; apart from what reads them, so that --help loads no server.
import type { Flag } from "./flags.ts";

const isCount = (value: string): string | undefined => (/^\d{1,9}$/.test(value) ? undefined : "must be a whole number");

export const REQUEST_FLAGS: readonly Flag[] = [
  { name: "max-requests-inflight", value: "N", default: "400", help: "reads served at once; with priority and fairness, the seats it divides are this and the next added", check: isCount },
  { name: "max-mutating-requests-inflight", value: "N", default: "200", help: "writes served at once", check: isCount },
  { name: "enable-priority-and-fairness", value: "BOOL", default: "true", help: "serve requests by FlowSchemas and PriorityLevelConfigurations", choices: ["true", "false"] },
];
