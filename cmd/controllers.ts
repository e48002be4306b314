// Controllers and scheduler of this control plane, each acting through a client of its own identity.
import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { LeaderElector } from "../api/client/election.ts";
import type { Informers } from "../api/client/informer.ts";
import { createInformers } from "../api/client/informers.ts";
import { workQueueFigures } from "../api/client/workers.ts";
import { BackgroundEventRecorder } from "../api/client/recorder.ts";
import { controllersProblem, createControllers, runControllers } from "../control/controllers/index.ts";
import { aborted, type ControllerDeps } from "../control/controllers/controller.ts";
import { ControllerFigures } from "../control/controllers/figures.ts";
import { servedMetrics } from "../control/controllers/hpa/custommetrics.ts";
import type { UserInfo } from "../control/apiserver/request.ts";
import { signRequest, type Usage } from "../control/pki/certificates.ts";
import type { SchedulerConfig } from "../control/scheduler/config.ts";
import { readSchedulerConfig } from "../control/scheduler/configfile.ts";
import { createScheduler } from "../control/scheduler/scheduler.ts";
import { systemClock } from "../lib/clock.ts";
import type { Pki } from "../control/pki/pki.ts";
import { controlUser, type Api } from "./apiserver.ts";
import { isShared } from "./datastore.ts";
import { fromFile } from "./tokens.ts";
import { UsageError, type Values } from "./flags.ts";

export interface ControllersOptions {
  readonly values: Values;
  readonly api: Api;
  readonly pki: Pki;
  readonly signal: AbortSignal;
}

/**
 * Starts every controller that is enabled, and the scheduler; where control planes share a store, while this one is elected.
 * Resolves once the signal aborted and both have ended.
 */
export async function startControllers(options: ControllersOptions): Promise<void> {
  const { api, signal, values } = options;
  if (isShared(values)) return standForElection(options);
  await Promise.all([runAllControllers(options, api.informers, signal), runScheduler(options, api.informers, signal)]);
}

async function runAllControllers(options: ControllersOptions, informers: Informers, signal: AbortSignal): Promise<void> {
  const figures = new ControllerFigures();
  const deps = controllerDeps(options, informers, figures);
  const text = (): string => figures.text();
  options.api.figures.add(workQueueFigures).add(text);
  await runControllers(deps, createControllers(deps, (options.values["controllers"] as string).split(",")), signal);
  options.api.figures.delete(workQueueFigures);
  options.api.figures.delete(text);
}

async function runScheduler({ api, values }: ControllersOptions, informers: Informers, signal: AbortSignal): Promise<void> {
  const scheduler = createScheduler({ client: api.server.localClient(controlUser("system:kube-scheduler")), informers, clock: systemClock, recorder: recorderFor(api, "default-scheduler"), ...schedulerConfig(values) });
  api.figures.add(scheduler.metrics);
  informers.start(signal);
  scheduler.start(signal);
  await aborted(signal);
  api.figures.delete(scheduler.metrics);
}

/** Throws UsageError for a `--controllers` that cannot be meant. */
export function checkControllers(values: Values): void {
  const list = values["controllers"] as string;
  const problem = controllersProblem(list);
  if (problem) throw new UsageError(`--controllers ${list}: ${problem}`);
}

/** What the scheduler's file says; throws UsageError for one that cannot be meant. */
export function schedulerConfig(values: Values): { config?: SchedulerConfig } {
  const path = values["scheduler-config"];
  return path === undefined ? {} : { config: fromFile("scheduler-config", path, readSchedulerConfig) };
}

/** Upstream's two leases, so that the work may be shared between two control planes. */
async function standForElection(options: ControllersOptions): Promise<void> {
  const { api, signal } = options;
  const identity = `${hostname()}_${randomUUID()}`;
  const stand = (name: string, user: string, run: typeof runScheduler): Promise<void> => {
    // Caches of each term's own, because what listens to the process's is never taken off them again.
    const lead = (term: AbortSignal): Promise<void> => run(options, createInformers(api.server.localClient(), systemClock), term);
    return new LeaderElector({ client: api.server.localClient(controlUser(user)), lease: { namespace: "kube-system", name }, identity, lead }).run(signal);
  };
  await Promise.all([stand("kube-controller-manager", "system:kube-controller-manager", runAllControllers), stand("kube-scheduler", "system:kube-scheduler", runScheduler)]);
}

function recorderFor(api: Api, component: string): BackgroundEventRecorder {
  return new BackgroundEventRecorder({ client: api.server.localClient(), component, clock: systemClock });
}

/** A controller as upstream's runs: with a ServiceAccount of its name. */
function controllerAccount(name: string): UserInfo {
  return { name: `system:serviceaccount:kube-system:${name}`, groups: ["system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"] };
}

function controllerDeps({ values, api, pki }: ControllersOptions, informers: Informers, figures: ControllerFigures): ControllerDeps {
  const autoscaler = controllerAccount("horizontal-pod-autoscaler");
  const elsewhere = { availableVersion: (group: string, versions: readonly string[]) => api.aggregator.availableVersion(group, versions), read: (path: string) => api.aggregator.read(path, autoscaler) };
  return {
    informers,
    figures,
    // It reads and writes every Secret, which upstream lets no ServiceAccount do.
    clientFor: (name) => api.server.localClient(name === "serviceaccount-token-controller" ? controlUser("system:kube-controller-manager") : controllerAccount(name)),
    recorderFor: (component) => recorderFor(api, component),
    clock: systemClock,
    kinds: api.kinds,
    settings: {
      metrics: api.metrics,
      customMetrics: servedMetrics({ elsewhere, kinds: api.kinds }),
      issueLegacyToken: api.issueLegacyToken,
      clusterCaPem: pki.roots.authority.certPem,
      clusterCidrs: (values["cluster-cidr"] as string).split(","),
      serviceCidrs: (values["service-cidr"] as string).split(","),
      mayRequest: async ({ username = "", uid, groups = [], extra }, subresource) => {
        const user = { name: username, groups, ...(uid && { uid }), ...(extra && { extra }) };
        return (await api.authorizer.authorize({ user, verb: "create", group: "certificates.k8s.io", version: "v1", resource: "certificatesigningrequests", subresource, namespace: "", name: "" })).allowed;
      },
      signCertificate: ({ csrPem, usages, lifetimeMs }) => signRequest(pki.roots.authority, csrPem, { usages: usages as Usage[], lifetimeMs, now: systemClock.now() }),
    },
  };
}
