// `agent --hollow N`: simulated nodes for trying a control plane at a size one machine does not have.
// Node identities are for one node each, so this acts as the admin of the cluster.
import { HttpClient } from "../api/client/http.ts";
import { createInformers } from "../api/client/informers.ts";
import { loadKubeconfig } from "../api/client/kubeconfig.ts";
import { createHollow } from "../agent/hollow/hollow.ts";
import { systemClock } from "../lib/clock.ts";
import { logger } from "../lib/log.ts";
import { DEFAULT_DATA_DIR } from "./commands.ts";
import { UsageError, type Values } from "./flags.ts";
import { adminKubeconfigPath } from "./kubeconfig.ts";
import { labelsOf } from "./nodelabels.ts";
import { untilSignal } from "./signals.ts";
import { parseDuration } from "./token.ts";
import { KUBERNETES_VERSION } from "./version.ts";

const log = logger("hollow");

/** Runs hollow nodes until a signal; their Node objects stay. */
export async function runHollow(values: Values): Promise<number> {
  const count = Number(values["hollow"]);
  const client = new HttpClient(loadKubeconfig(values["kubeconfig"] ?? adminKubeconfigPath(controlDataDir(values))));
  const hollow = createHollow({
    client, informers: createInformers(client, systemClock), clock: systemClock, count, version: KUBERNETES_VERSION,
    namePrefix: values["node-name"] ?? "hollow", labels: labelsOf(values),
    startLatencyMs: parseDuration(values["hollow-start-latency"] ?? "0s"),
    failureRate: failureRate(values),
  });
  const begin = performance.now();
  const interrupted = untilSignal();
  const started = hollow.start();
  await Promise.race([started.then(() => log.info({ count, ms: Math.round(performance.now() - begin) }, "hollow nodes registered")), interrupted]);
  await interrupted;
  await hollow.stop();
  client.close();
  return 0;
}

/** The agent's data directory lies in the control plane's when both are on one machine. */
function controlDataDir(values: Values): string {
  const own = values["data-dir"] ?? DEFAULT_DATA_DIR;
  return own.endsWith("/agent") ? own.slice(0, -"/agent".length) : own;
}

function failureRate(values: Values): number {
  const rate = Number(values["hollow-failure-rate"] ?? 0);
  if (!(rate >= 0 && rate <= 1)) throw new UsageError(`--hollow-failure-rate ${values["hollow-failure-rate"]}: must be between 0 and 1`);
  return rate;
}
