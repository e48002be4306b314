// Makes the parts and facts that the steps of a pod's life share, from what the kubelet was given.
import { readFileSync } from "node:fs";
import { totalmem } from "node:os";
import { join } from "node:path";
import type { Client } from "../../api/client/client.ts";
import { builtinKind } from "../../api/registry.ts";
import type { Node, PersistentVolume, PersistentVolumeClaim, Pod, Secret, Service, ServiceAccount } from "../../api/types.ts";
import { hostExec } from "../../lib/exec.ts";
import { resolveClaim } from "../volumes/claims.ts";
import { emptyDir } from "../volumes/emptydir.ts";
import { fileVolumes } from "../volumes/filevolume.ts";
import { hostPath } from "../volumes/hostpath.ts";
import { imageVolume } from "../volumes/imagevolume.ts";
import { local } from "../volumes/local.ts";
import { hostMounter } from "../volumes/mount.ts";
import { nfs } from "../volumes/nfs.ts";
import type { PayloadSources } from "../volumes/payload.ts";
import type { Tokens } from "../volumes/tokens.ts";
import { createVolumes } from "../volumes/volumes.ts";
import { Allocations } from "./allocation.ts";
import { CredentialPlugins } from "./credentialplugins.ts";
import { credentialsFor } from "./credentials.ts";
import { hostDns } from "./dns.ts";
import { fieldValue, resourceValue, type NodeFacts } from "./fields.ts";
import { Images } from "./images.ts";
import type { CountedDeps } from "./kubelet.ts";
import { withLastWords } from "./lastwords.ts";
import type { ObjectStore } from "./objects.ts";
import { Paths } from "./paths.ts";
import { PauseProfile } from "./pauseprofile.ts";
import type { Prober } from "./probes.ts";
import type { PullRecords } from "./pullrecords.ts";
import { RuntimeCache } from "./runtimecache.ts";
import type { RuntimeClasses } from "./runtimeclass.ts";
import type { NodeServices } from "./services.ts";
import { DEFAULT_SETTINGS } from "./settings.ts";
import { isStatic } from "./staticpods.ts";
import { StatusWriter } from "./statuswriter.ts";
import { UserNamespaces } from "./userns.ts";
import { BoundVolumes, type BoundVolume } from "./volumestats.ts";

const CLAIM = builtinKind("", "v1", "PersistentVolumeClaim");
const VOLUME = builtinKind("", "v1", "PersistentVolume");
const SERVICE_ACCOUNT = builtinKind("", "v1", "ServiceAccount");

/** The parts that live as long as the kubelet. */
export interface Sources {
  readonly objects: ObjectStore;
  readonly tokens: Tokens;
  readonly prober: Prober;
  readonly records: PullRecords;
  readonly classes: RuntimeClasses;
  readonly mirrorOf: (pod: Pod) => Pod | undefined;
  readonly signal: AbortSignal;
  readonly services: () => readonly Service[];
  readonly node: () => Node | undefined;
}

/** Everything in one value. */
export function nodeServices(deps: CountedDeps, sources: Sources): NodeServices {
  const { clock, runtime, recorder, nodeName, nodeIp, clusterDns, clusterDomain, cgroups } = deps;
  const settings = deps.settings ?? DEFAULT_SETTINGS;
  const paths = new Paths(deps.dataDir, deps.podLogs);
  const mounter = deps.mounter ?? hostMounter;
  const machine = deps.machine ?? { memoryBytes: totalmem(), oomFloor: oomFloor(), cgroupVersion: cgroups.version, limitsCpu: settings.limitsCpu, hugepageSizes: cgroups.hugepageSizes ?? [] };
  const cache = new RuntimeCache(runtime.pods, withLastWords);
  const allocatable = (): Record<string, string> => sources.node()?.status?.allocatable ?? {};
  const factsOf = (pod: Pod): NodeFacts => ({ podIps: pod.spec?.hostNetwork ? [nodeIp] : (cache.get(pod.metadata.uid ?? "")?.sandboxes[0]?.ips ?? []), nodeIp, allocatable: allocatable() });
  const files: PayloadSources = {
    configMap: (namespace, name) => sources.objects.configMap(namespace, name),
    secret: (namespace, name) => sources.objects.secret(namespace, name),
    token: (pod, options) => sources.tokens.get(pod, options),
    fieldValue: (pod, path) => fieldValue(pod, path, factsOf(pod)),
    resourceValue: (pod, container, ref) => resourceValue(pod, container, ref, factsOf(pod)),
  };
  const plugins = new CredentialPlugins({
    providers: deps.credentialProviders?.providers ?? [], binDir: deps.credentialProviders?.binDir ?? "", exec: deps.exec ?? hostExec, clock,
    serviceAccount: (namespace, name) => deps.client.get<ServiceAccount>(SERVICE_ACCOUNT, { namespace, name }),
    token: (pod, options) => sources.tokens.get(pod, options),
  });
  return {
    nodeName, nodeIp, clusterDns, clusterDomain, clock, runtime, recorder, cgroups, paths, machine, settings, figures: deps.figures,
    boundVolumes: new BoundVolumes((namespace, name) => readBound(deps.client, namespace, name)),
    cache,
    pauseProfile: new PauseProfile(paths.pauseProfile),
    allocations: new Allocations(paths, allocatable),
    images: new Images({ images: runtime.images, clock, recorder, records: sources.records, maxParallelPulls: settings.maxParallelPulls, pace: settings.pullPace, onPulled: (bytes, ms) => deps.figures.observe("kubelet_image_pull_duration_seconds", ms / 1000, { image_size_in_bytes: sizeBucket(bytes) }) }),
    writer: new StatusWriter(deps.client, clock, sources.signal, (seconds) => deps.figures.observe("kubelet_pod_status_sync_duration_seconds", seconds)),
    probes: sources.prober,
    volumes: createVolumes({
      mounter, images: runtime.images, podsDir: paths.pods, clock,
      onOperation: ({ name, plugin, ms, hasFailed }) => deps.figures.observe("storage_operation_duration_seconds", ms / 1000, { migrated: "false", operation_name: name, status: hasFailed ? "fail-unknown" : "success", volume_plugin: plugin }),
      resolve: (pod, volume) => resolveClaim(deps.client, pod, volume),
      kinds: [emptyDir(mounter, () => machine.memoryBytes), hostPath(), ...fileVolumes(mounter, files), local(mounter), nfs(mounter, deps.exec ?? hostExec), imageVolume()],
    }),
    objects: sources.objects,
    services: sources.services,
    allocatable,
    hostDns: () => hostDns(deps.resolvConf ?? "/etc/resolv.conf", readText),
    credentials: async (pod, image) => {
      const [secrets, provided] = await Promise.all([pullSecrets(sources.objects, pod), plugins.credentials(pod, image)]);
      return [...credentialsFor(image, secrets, readText(join(deps.dataDir, "config.json"))), ...provided];
    },
    runtimeHandler: (pod) => sources.classes.handlerOf(pod),
    supportsRecursiveReadOnly: (pod) => sources.classes.featuresOf(pod)?.recursiveReadOnlyMounts ?? false,
    userNamespaces: new UserNamespaces({ paths, idsPerPod: settings.idsPerPod }),
    supportsUserNamespaces: (pod) => sources.classes.featuresOf(pod)?.userNamespaces ?? false,
    withLastWords,
    statusTarget: (pod) => (isStatic(pod) ? sources.mirrorOf(pod) : pod),
  };
}

/** As upstream groups image sizes. */
function sizeBucket(bytes: number): string {
  const megabytes = bytes / (1024 * 1024);
  const bounds: [number, string][] = [[10, "0-10MB"], [100, "10MB-100MB"], [500, "100MB-500MB"], [1024, "500MB-1GB"], [5 * 1024, "1GB-5GB"], [10 * 1024, "5GB-10GB"], [20 * 1024, "10GB-20GB"], [30 * 1024, "20GB-30GB"], [40 * 1024, "30GB-40GB"], [60 * 1024, "40GB-60GB"], [100 * 1024, "60GB-100GB"]];
  return bounds.find(([limit]) => megabytes < limit)?.[1] ?? "GT100GB";
}

function pullSecrets(objects: ObjectStore, pod: Pod): Promise<(Secret | undefined)[]> {
  return Promise.all((pod.spec?.imagePullSecrets ?? []).map(({ name = "" }) => objects.secret(pod.metadata.namespace ?? "", name)));
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

/** Without CAP_SYS_RESOURCE a process may not make another less likely to be killed than itself. */
function oomFloor(): number {
  const CAP_SYS_RESOURCE = 24n;
  const capabilities = /^CapEff:\s*([0-9a-f]+)$/m.exec(readText("/proc/self/status"))?.[1] ?? "0";
  if ((BigInt(`0x${capabilities}`) >> CAP_SYS_RESOURCE) & 1n) return -1000;
  return Number(readText(join("/proc/self", "oom_score_adj")).trim() || "0");
}

async function readBound(client: Client, namespace: string, claim: string): Promise<BoundVolume | undefined> {
  const name = (await client.get<PersistentVolumeClaim>(CLAIM, { namespace, name: claim })).spec?.volumeName;
  if (!name) return undefined;
  const { spec } = await client.get<PersistentVolume>(VOLUME, { name });
  return { name, hostPath: spec?.hostPath?.path };
}
