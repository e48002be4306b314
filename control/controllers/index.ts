// Every controller of the control plane, in the order they are made and started.
// Adding one: a file with a `(deps) => Controller` function, and a line here.
import type { Informer, Informers } from "../../api/client/informer.ts";
import type { KubeObject } from "../../api/types.ts";
import { wakeDelayed } from "../../api/client/workers.ts";
import { Backoff } from "../../lib/backoff.ts";
import type { Clock } from "../../lib/clock.ts";
import { logger } from "../../lib/log.ts";
import { bootstrapSignerController, tokenCleanerController } from "./bootstraptokens.ts";
import { certificateApprover, certificateCleaner, certificateSigner } from "./certificates.ts";
import { aborted, type Controller, type ControllerDeps } from "./controller.ts";
import { clusterRoleAggregationController } from "./clusterroleaggregation.ts";
import { cronJobController } from "./cronjob/cronjob.ts";
import { daemonSetController } from "./daemonset/daemonset.ts";
import { deploymentController } from "./deployment/deployment.ts";
import { deviceTaintEvictionController } from "./devicetainteviction.ts";
import { disruptionController } from "./disruption.ts";
import { endpointsController } from "./endpoints/endpoints.ts";
import { endpointSliceController } from "./endpoints/endpointslice.ts";
import { endpointSliceMirroringController } from "./endpoints/mirroring.ts";
import { garbageCollector } from "./garbagecollector/garbagecollector.ts";
import { horizontalPodAutoscalerController } from "./hpa/autoscaler.ts";
import { jobController } from "./job/job.ts";
import { legacyTokenCleaner } from "./legacytokens.ts";
import { isControllerOn, unknownController } from "./names.ts";
import { namespaceController } from "./namespace.ts";
import { nodeIpamController } from "./node/ipam.ts";
import { nodeLifecycleController } from "./node/lifecycle.ts";
import { podGarbageCollector } from "./node/podgc.ts";
import { taintEvictionController } from "./node/tainteviction.ts";
import { ttlController } from "./node/ttl.ts";
import { replicaSetController, replicationControllerController } from "./replicaset.ts";
import { resourceClaimController } from "./resourceclaim.ts";
import { resourceQuotaController } from "./resourcequota.ts";
import { rootCaPublisher, serviceAccountController } from "./serviceaccount.ts";
import { serviceCidrController } from "./servicecidr.ts";
import { statefulSetController } from "./statefulset/statefulset.ts";
import { ttlAfterFinishedController } from "./ttlafterfinished.ts";
import { volumeAttributesClassProtectionController } from "./volumes/attributesclass.ts";
import { attachDetachController } from "./volumes/attachdetach.ts";
import { persistentVolumeBinder } from "./volumes/binder.ts";
import { ephemeralVolumeController } from "./volumes/ephemeral.ts";
import { volumeExpander } from "./volumes/expand.ts";
import { tokenSecretController } from "./tokensecrets.ts";
import { localPathProvisioner } from "./volumes/localpath.ts";
import { pvcProtectionController, pvProtectionController } from "./volumes/protection.ts";

/** Makes one controller; registers its informers. */
export type ControllerFactory = (deps: ControllerDeps) => Controller;

/** By upstream's names, as `--controllers` takes them. */
export const CONTROLLERS: Readonly<Record<string, ControllerFactory>> = {
  "serviceaccount-controller": serviceAccountController,
  "root-ca-certificate-publisher-controller": rootCaPublisher,
  "certificatesigningrequest-approving-controller": certificateApprover,
  "certificatesigningrequest-signing-controller": certificateSigner,
  "certificatesigningrequest-cleaner-controller": certificateCleaner,
  "clusterrole-aggregation-controller": clusterRoleAggregationController,
  "serviceaccount-token-controller": tokenSecretController,
  "legacy-serviceaccount-token-cleaner-controller": legacyTokenCleaner,
  "token-cleaner-controller": tokenCleanerController,
  "bootstrap-signer-controller": bootstrapSignerController,
  "persistentvolume-binder-controller": persistentVolumeBinder,
  "local-path-provisioner-controller": localPathProvisioner,
  "ephemeral-volume-controller": ephemeralVolumeController,
  "persistentvolume-attach-detach-controller": attachDetachController,
  "persistentvolume-expander-controller": volumeExpander,
  "persistentvolumeclaim-protection-controller": pvcProtectionController,
  "persistentvolume-protection-controller": pvProtectionController,
  "volumeattributesclass-protection-controller": volumeAttributesClassProtectionController,
  "namespace-controller": namespaceController,
  "node-ipam-controller": nodeIpamController,
  "node-lifecycle-controller": nodeLifecycleController,
  "taint-eviction-controller": taintEvictionController,
  "ttl-controller": ttlController,
  "pod-garbage-collector-controller": podGarbageCollector,
  "garbage-collector-controller": garbageCollector,
  "endpointslice-controller": endpointSliceController,
  "endpoints-controller": endpointsController,
  "endpointslice-mirroring-controller": endpointSliceMirroringController,
  "service-cidr-controller": serviceCidrController,
  "deployment-controller": deploymentController,
  "replicaset-controller": replicaSetController,
  "replicationcontroller-controller": replicationControllerController,
  "daemonset-controller": daemonSetController,
  "job-controller": jobController,
  "cronjob-controller": cronJobController,
  "ttl-after-finished-controller": ttlAfterFinishedController,
  "disruption-controller": disruptionController,
  "horizontal-pod-autoscaler-controller": horizontalPodAutoscalerController,
  "resourceclaim-controller": resourceClaimController,
  "device-taint-eviction-controller": deviceTaintEvictionController,
  "resourcequota-controller": resourceQuotaController,
  "statefulset-controller": statefulSetController,
};

const log = logger("controllers");
const DATE_CHECK_MS = 30_000;
const DATE_TOLERANCE_MS = 1000;

/** What is wrong with a `--controllers` list; undefined for one that can be meant. */
export function controllersProblem(list: string): string | undefined {
  return unknownController(list.split(","), Object.keys(CONTROLLERS));
}

/** Makes the enabled controllers: `*` is all, `-name` leaves one out, a bare name picks it. Throws for an unknown name. */
export function createControllers(deps: ControllerDeps, enabled: readonly string[] = ["*"]): Controller[] {
  const problem = unknownController(enabled, Object.keys(CONTROLLERS));
  if (problem) throw new Error(problem);
  return Object.entries(CONTROLLERS).filter(([name]) => isControllerOn(name, enabled)).map(([, create]) => create({ ...deps, informers: waitingForOwn(deps.informers) }));
}

/** The same caches, but whoever waits for them waits only for those it asked for: one that cannot be filled holds up nobody else. */
function waitingForOwn(shared: Informers): Informers {
  const asked = new Set<Informer<KubeObject>>();
  return {
    client: shared.client,
    start: (signal) => shared.start(signal),
    for: (kind, scope) => {
      const informer = shared.for<KubeObject>(kind, scope);
      asked.add(informer);
      // The kind a caller asks with decides which type it gets.
      return informer as never;
    },
    waitForSync: async (signal) => {
      const all = Promise.all([...asked].map(({ firstSync }) => firstSync));
      await (signal ? Promise.race([all, aborted(signal)]) : all);
    },
  };
}

/** Starts the caches and every controller; resolves when the signal aborted and all have ended. One that fails is started again. */
export async function runControllers(deps: ControllerDeps, controllers: readonly Controller[], signal: AbortSignal): Promise<void> {
  deps.informers.start(signal);
  await Promise.all([watchDate(deps.clock, signal), ...controllers.map((controller) => keepRunning(deps, controller, signal))]);
}

/** Delays are counted without regard to the date. When somebody sets it, what waits for a date has to look again. */
async function watchDate(clock: Clock, signal: AbortSignal): Promise<void> {
  for (let offset = clock.now() - clock.monotonic(); !signal.aborted; ) {
    await clock.sleep(DATE_CHECK_MS, signal);
    const current = clock.now() - clock.monotonic();
    if (Math.abs(current - offset) < DATE_TOLERANCE_MS) continue;
    log.info({ byMs: Math.round(current - offset) }, "the date was set; everything that waits for one is looked at again");
    offset = current;
    wakeDelayed();
  }
}

async function keepRunning({ clock }: ControllerDeps, controller: Controller, signal: AbortSignal): Promise<void> {
  const backoff = new Backoff({ baseMs: 1000, maxMs: 60_000 });
  while (!signal.aborted) {
    try {
      await controller.start(signal);
      await aborted(signal);
    } catch (error) {
      log.error({ controller: controller.name, err: error }, "controller failed; starting it again");
      await clock.sleep(backoff.next(), signal);
    }
  }
}
