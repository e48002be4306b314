// The control plane, put together: store, certificates, API server, bootstrap objects, controllers, scheduler.
// Started in this order, stopped in reverse; everything above the API server reaches it through `Client` only.
import { join } from "node:path";
import { fingerprint } from "../lib/fingerprint.ts";
import { isReachable, publishAddresses, ServedAddresses } from "../control/apiserver/addresses.ts";
import { openPki, type Pki } from "../control/pki/pki.ts";
import { allAddresses, defaultAddress, firstAddress } from "../lib/addresses.ts";
import { systemClock } from "../lib/clock.ts";
import { logger } from "../lib/log.ts";
import { BackgroundEventRecorder } from "../api/client/recorder.ts";
import { buildApiServer, type Api, type ControlPlane } from "./apiserver.ts";
import { auditor } from "./audit.ts";
import { keepCertificates, type CertificateDeps } from "./certificates.ts";
import type { Invocation } from "./commands.ts";
import { checkControllers, schedulerConfig, startControllers } from "./controllers.ts";
import { joinControlPlane } from "./controljoin.ts";
import { isShared, openDatastore } from "./datastore.ts";
import { encryptedStore, encryptionFigures, encryptionPaths } from "./encryption.ts";
import { UsageError, type Values } from "./flags.ts";
import { createJoinToken } from "./jointoken.ts";
import { kubeconfigText, writeAdminKubeconfig } from "./kubeconfig.ts";
import { preflightControl } from "./preflight.ts";
import { claimPidFile } from "./processes.ts";
import { requestTimes } from "./requests.ts";
import { untilSignal } from "./signals.ts";

const log = logger("control");
const HAND_OVER_MS = 5000;
const JOIN_TTL_MS = 24 * 3_600_000;

export async function runControl({ values: given }: Invocation): Promise<number> {
  if (!given["init"] && !given["join"]) throw new UsageError("control: say --init for a new cluster (or to go on with the one in --data-dir), or --join URL");
  const values = await joinControlPlane(given);
  schedulerConfig(values);
  checkControllers(values);
  auditor(values);
  const dataDir = values["data-dir"] as string;
  const port = Number(values["port"]);
  await preflightControl({ dataDir, bindAddress: values["bind-address"] as string, port, usesDisk: values["datastore"] !== "memory" });
  claimPidFile(dataDir, "control");
  const begin = performance.now();
  const plane = await start(values);
  const server = `https://${advertised(values)}:${port}`;
  log.info({ server, ms: Math.round(performance.now() - begin) }, "the control plane is ready");
  await printJoinLine(plane, server);
  if (isShared(values)) process.stdout.write("add a control plane with what this prints:\n  minik8s token create --control-plane\n");
  await untilSignal();
  await plane.stop();
  return 0;
}

/** Addresses and names the API is reached under; a new one gets a new certificate at the next start. */
function servingNames(values: Values): { dnsNames: string[]; ipAddresses: string[] } {
  const more = (values["tls-san"] ?? "").split(",").map((name) => name.trim()).filter(Boolean);
  const domain = values["cluster-domain"] as string;
  return {
    dnsNames: ["kubernetes", "kubernetes.default", "kubernetes.default.svc", `kubernetes.default.svc.${domain}`, "localhost", ...more.filter((name) => !isAddress(name))],
    ipAddresses: [...new Set([advertised(values), firstAddress(values["service-cidr"] as string), ...allAddresses(), "127.0.0.1", ...more.filter(isAddress)])].toSorted(),
  };
}

function isAddress(name: string): boolean {
  return /^[\d.]+$|:/.test(name);
}

async function start(values: Values): Promise<ControlPlane> {
  const dataDir = values["data-dir"] as string;
  const [below, pki] = await Promise.all([openDatastore(values), openPki({ directory: join(dataDir, "pki"), names: () => servingNames(values) })]);
  const running = new AbortController();
  const { signal } = running;
  const { store, rotation } = await encryptedStore(below, { values, pki, signal });
  const api = buildApiServer({ values, store, pki, signal, advertise: advertised(values), own: encryptionPaths(rotation) });
  api.figures.add(() => encryptionFigures(rotation));
  await api.server.start();
  writeAdminConfigs(values, pki);
  await api.bootstrap();
  const addresses = isShared(values) ? new ServedAddresses(api.server.localClient(), { address: advertised(values), port: Number(values["port"]) }, systemClock) : undefined;
  const working = Promise.all([startControllers({ values, api, pki, signal }), addresses?.run(signal), rotation.run(signal), keepCertificates(certificateDeps(values, pki, api), signal)]);
  working.catch((error: unknown) => {
    log.fatal({ err: error }, "controllers cannot run");
    process.exit(1);
  });
  return {
    ...api,
    pki,
    stop: async () => {
      log.info("stopping");
      const served = api.server.stop();
      // While everything is still served, everything still works.
      await systemClock.sleep(requestTimes(values).shutdown.delayMs);
      running.abort();
      // Another control plane takes over at once when leases are given back; etcd being away must not keep this one.
      if (addresses) await Promise.race([working.then(() => addresses.leave()).catch(() => {}), systemClock.sleep(HAND_OVER_MS)]);
      await served;
      await store.close();
    },
  };
}

/** A new serving certificate may mean a new address of this machine, under which clients and pods are to find it. */
function certificateDeps(values: Values, pki: Pki, { server, figures }: Api): CertificateDeps {
  const client = server.localClient();
  const use: CertificateDeps["use"] = (name, pair) => {
    if (name === "apiserver") server.replaceCertificate({ cert: pair.certPem + pki.roots.authority.certPem, key: pair.keyPem });
    if (name === "apiserver" || name === "admin") writeAdminConfigs(values, pki);
    const place = { address: advertised(values), port: Number(values["port"]) };
    if (name === "apiserver" && !isShared(values) && isReachable(place)) publishAddresses(client, [place.address], place.port).catch((error: unknown) => log.warn({ err: error }, "the new address could not be published"));
  };
  return { pki, client, figures, clock: systemClock, use, recorder: new BackgroundEventRecorder({ client, component: "certificates", clock: systemClock }) };
}

function writeAdminConfigs(values: Values, pki: Pki): void {
  const dataDir = values["data-dir"] as string;
  writeAdminKubeconfig(dataDir, kubeconfigText({ server: `https://${advertised(values)}:${values["port"]}`, authorityPem: pki.roots.authority.certPem, client: pki.leaf("admin") }));
}

/** The exact line another machine joins with, for a person; a journal or a log file is no place for a token. */
async function printJoinLine({ server, pki }: ControlPlane, url: string): Promise<void> {
  if (!process.stdout.isTTY) return void process.stdout.write(`join a node with what this prints:\n  minik8s token create\n`);
  const token = await createJoinToken(server.localClient(), { ttlMs: JOIN_TTL_MS, authoritySha256: fingerprint(pki.roots.authority.certPem), description: "printed when the control plane started" });
  process.stdout.write(`join a node with:\n  minik8s agent --join ${url} --token ${token}\n`);
}

function advertised(values: Values): string {
  const bind = values["bind-address"] as string;
  return values["advertise-address"] ?? (bind === "0.0.0.0" ? defaultAddress() : bind);
}
