// Controllers and scheduler of this control plane, each acting through a client of its own identity.
import { BackgroundEventRecorder } from "../api/client/recorder.ts";
import { createControllers, runControllers } from "../control/controllers/index.ts";
import type { ControllerDeps } from "../control/controllers/controller.ts";
import { signRequest, type Usage } from "../control/pki/certificates.ts";
import { createScheduler } from "../control/scheduler/scheduler.ts";
import { systemClock } from "../lib/clock.ts";
import type { Pki } from "../control/pki/pki.ts";
import { controlUser, type Api } from "./apiserver.ts";
import type { Values } from "./flags.ts";

export interface ControllersOptions {
  readonly values: Values;
  readonly api: Api;
  readonly pki: Pki;
  readonly signal: AbortSignal;
}

/** Starts every controller that is enabled, and the scheduler. */
export function startControllers(options: ControllersOptions): void {
  const { api, signal, values } = options;
  const deps = controllerDeps(options);
  const controllers = createControllers(deps, (values["controllers"] as string).split(","));
  const scheduler = createScheduler({
    client: api.server.localClient(controlUser("system:kube-scheduler")), informers: api.informers, clock: systemClock,
    recorder: deps.recorderFor("default-scheduler"),
  });
  void runControllers(deps, controllers, signal);
  scheduler.start(signal);
}

function controllerDeps({ values, api, pki }: ControllersOptions): ControllerDeps {
  return {
    informers: api.informers,
    clientFor: (name) => api.server.localClient({ name: `system:serviceaccount:kube-system:${name}`, groups: ["system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"] }),
    recorderFor: (component) => new BackgroundEventRecorder({ client: api.server.localClient(), component, clock: systemClock }),
    clock: systemClock,
    kinds: api.kinds,
    settings: {
      metrics: api.metrics,
      clusterCaPem: pki.roots.authority.certPem,
      clusterCidrs: (values["cluster-cidr"] as string).split(","),
      serviceCidrs: (values["service-cidr"] as string).split(","),
      signCertificate: ({ csrPem, usages, lifetimeMs }) => signRequest(pki.roots.authority, csrPem, { usages: usages as Usage[], lifetimeMs }),
    },
  };
}
