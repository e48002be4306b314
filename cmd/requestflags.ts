// Flags of a control plane about the requests it serves; apart from what reads them, so that --help loads no server.
import type { Flag } from "./flags.ts";

const isCount = (value: string): string | undefined => (/^\d{1,9}$/.test(value) ? undefined : "must be a whole number");
const isDuration = (value: string): string | undefined => (/^(0|(\d+(\.\d+)?(ms|s|m|h))+)$/.test(value) ? undefined : "must be a duration such as 60s or 1m30s");

export const REQUEST_FLAGS: readonly Flag[] = [
  { name: "max-requests-inflight", value: "N", default: "400", help: "reads served at once; with priority and fairness, the seats it divides are this and the next added", check: isCount },
  { name: "max-mutating-requests-inflight", value: "N", default: "200", help: "writes served at once", check: isCount },
  { name: "enable-priority-and-fairness", value: "BOOL", default: "true", help: "serve requests by FlowSchemas and PriorityLevelConfigurations", choices: ["true", "false"] },
  { name: "request-timeout", value: "DURATION", default: "60s", help: "the longest a request may take that is no watch, log, exec or proxy", check: isDuration },
  { name: "min-request-timeout", value: "SECONDS", default: "1800", help: "watches that do not say otherwise last this long to twice this long", check: isCount },
  { name: "shutdown-delay-duration", value: "DURATION", default: "0s", help: "how long everything is still served at the end while /readyz fails already", check: isDuration },
  { name: "shutdown-grace-period", value: "DURATION", default: "15s", help: "how long requests under way may take at the end", check: isDuration },
  { name: "audit-policy-file", value: "FILE", help: "Policy of audit.k8s.io/v1: what is recorded of which requests" },
  { name: "audit-log-path", value: "FILE", help: "where audit events go, a JSON line each; - for standard output" },
  { name: "audit-log-maxsize", value: "MB", default: "100", help: "a log this large is put aside", check: isCount },
  { name: "audit-log-maxage", value: "DAYS", default: "0", help: "how long logs put aside are kept; 0 for ever", check: isCount },
  { name: "audit-log-maxbackup", value: "N", default: "0", help: "how many logs put aside are kept; 0 for all", check: isCount },
  { name: "audit-webhook-config-file", value: "FILE", help: "kubeconfig of a server that audit events are posted to, in batches" },
  { name: "audit-webhook-batch-buffer-size", value: "N", default: "10000", help: "the most events that wait to be posted; more are dropped", check: isCount },
  { name: "audit-webhook-batch-max-size", value: "N", default: "400", help: "the most events in one batch", check: isCount },
  { name: "audit-webhook-batch-max-wait", value: "DURATION", default: "30s", help: "the longest an event waits for its batch to be full", check: isDuration },
  { name: "audit-webhook-initial-backoff", value: "DURATION", default: "10s", help: "how long it waits before a batch that failed is posted again", check: isDuration },
];
