// Defaults of a pod spec that look at other fields; they apply to pods and to every template of pods.
// Constants (DNS policy, probe periods, file modes, ...) come from the schema.
import type { Container, PodSpec, Probe, Volume } from "../../../../api/types.ts";
import { defaultPullPolicy } from "./image.ts";

/** Sets what the spec of a pod or a template implies. Idempotent; mutates. */
export function defaultPodSpec(spec: PodSpec | undefined): void {
  if (!spec) return;
  mirrorServiceAccount(spec);
  for (const container of spec.initContainers ?? []) defaultContainer(container);
  for (const container of spec.containers ?? []) defaultContainer(container);
  for (const container of spec.ephemeralContainers ?? []) container.imagePullPolicy ||= defaultPullPolicy(container.image ?? "");
  for (const volume of spec.volumes ?? []) defaultVolume(volume);
}

/** The old name of the field is written along with the new one, whichever the client used. */
function mirrorServiceAccount(spec: PodSpec): void {
  if (spec.serviceAccountName) spec.serviceAccount = spec.serviceAccountName;
  else if (spec.serviceAccount) spec.serviceAccountName = spec.serviceAccount;
}

function defaultContainer(container: Container): void {
  container.imagePullPolicy ||= defaultPullPolicy(container.image ?? "");
  container.resources ??= {};
  for (const port of container.ports ?? []) port.protocol ||= "TCP";
  defaultProbe(container.livenessProbe);
  defaultProbe(container.readinessProbe);
  defaultProbe(container.startupProbe);
}

function defaultProbe(probe: Probe | undefined): void {
  if (probe?.grpc) probe.grpc.service ??= "";
}

function defaultVolume(volume: Volume): void {
  if (Object.keys(volume).length === 1) volume.emptyDir = {};
  if (volume.image) volume.image.pullPolicy ||= defaultPullPolicy(volume.image.reference ?? "");
  const claim = volume.ephemeral?.volumeClaimTemplate?.spec;
  if (claim) claim.volumeMode ??= "Filesystem";
}
