// What records requests, from flags: a policy, and the places events go to.
import { loadKubeconfig } from "../api/client/kubeconfig.ts";
import { Auditor, type AuditSink } from "../control/apiserver/audit/auditor.ts";
import { LogFile } from "../control/apiserver/audit/logfile.ts";
import { parsePolicy } from "../control/apiserver/audit/policy.ts";
import { AuditWebhook, type PostBatch } from "../control/apiserver/audit/webhook.ts";
import { systemClock } from "../lib/clock.ts";
import { UsageError, type Values } from "./flags.ts";
import { parseDuration } from "./token.ts";
import { fromFile } from "./tokens.ts";

const MEGABYTE = 1024 * 1024;
const DAY_MS = 24 * 3_600_000;
const POST_TIMEOUT_MS = 30_000;

/** What records requests; a policy and at least one place to write to are needed. Throws UsageError for what cannot be meant. */
export function auditor(values: Values): Auditor | undefined {
  const { "audit-policy-file": policyFile, "audit-log-path": path, "audit-webhook-config-file": webhook } = values;
  const policy = policyFile === undefined ? undefined : fromFile("audit-policy-file", policyFile, parsePolicy);
  const sinks: readonly AuditSink[] = [...(path === undefined ? [] : [logFile(values, path)]), ...(webhook === undefined ? [] : [webhookSink(values, webhook)])];
  if (policy && sinks.length === 0) throw new UsageError("--audit-policy-file: say where events go with --audit-log-path or --audit-webhook-config-file");
  if (sinks.length > 0 && !policy) throw new UsageError(`--${path === undefined ? "audit-webhook-config-file" : "audit-log-path"}: say what is recorded with --audit-policy-file`);
  return policy && new Auditor(policy, sinks);
}

function logFile(values: Values, path: string): LogFile {
  const count = (flag: string): number => Number(values[flag]);
  return new LogFile({ path, maxBytes: (count("audit-log-maxsize") || 100) * MEGABYTE, maxAgeMs: count("audit-log-maxage") * DAY_MS, maxBackups: count("audit-log-maxbackup") });
}

function webhookSink(values: Values, file: string): AuditWebhook {
  return new AuditWebhook({
    post: postTo(file), clock: systemClock, bufferSize: Number(values["audit-webhook-batch-buffer-size"]), maxBatchSize: Number(values["audit-webhook-batch-max-size"]) || 1,
    maxBatchWaitMs: parseDuration(values["audit-webhook-batch-max-wait"] as string), initialBackoffMs: parseDuration(values["audit-webhook-initial-backoff"] as string),
  });
}

/** Posts to the server a kubeconfig names, as whom it says. */
function postTo(file: string): PostBatch {
  const { server, caPem, insecureSkipVerify = false, clientCertificate, token } = kubeconfigOf(file);
  return async (body) => {
    const pair = clientCertificate?.();
    const bearer = token?.();
    const reply = await fetch(server, {
      method: "POST", body, signal: AbortSignal.timeout(POST_TIMEOUT_MS),
      headers: { "content-type": "application/json", accept: "application/json", ...(bearer && { authorization: `Bearer ${bearer}` }) },
      tls: { rejectUnauthorized: !insecureSkipVerify, ...(caPem && { ca: caPem }), ...(pair && { cert: pair.certPem, key: pair.keyPem }) },
    });
    await reply.arrayBuffer();
    if (!reply.ok) throw new Error(`${server} answered ${reply.status}`);
  };
}

function kubeconfigOf(file: string): ReturnType<typeof loadKubeconfig> {
  try {
    return loadKubeconfig(file);
  } catch (error) {
    throw new UsageError(`--audit-webhook-config-file: ${(error as Error).message}`, { cause: error });
  }
}
