// ServiceAccount: every pod runs as somebody, with that account's token at hand and its pull secrets.
import { customAlphabet } from "nanoid";
import { isNotFound } from "../../../api/errors.ts";
import { builtinKind } from "../../../api/registry.ts";
import type { Client } from "../../../api/client/client.ts";
import type { Container, Pod, PodSpec, ServiceAccount, Volume } from "../../../api/types.ts";
import { isOn, refuse } from "./attributes.ts";
import type { AdmissionPlugin, Attributes } from "./plugin.ts";

const SERVICE_ACCOUNT = builtinKind("", "v1", "ServiceAccount");
const DEFAULT_NAME = "default";
const VOLUME_PREFIX = "kube-api-access-";
const MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount";
/** An hour and a little, by which old clients are recognised. */
const TOKEN_SECONDS = 3_607;
const MIRROR = "kubernetes.io/config.mirror";
const ENFORCE = "kubernetes.io/enforce-mountable-secrets";
const suffix = customAlphabet("bcdfghjklmnpqrstvwxz2456789", 5);

/** Gives pods their account. */
export function serviceAccount(): AdmissionPlugin {
  return {
    name: "ServiceAccount",
    concerns: (door) => isOn(door, "pods", ["CREATE"]) || isOn(door, "pods", ["UPDATE"], "ephemeralcontainers"),
    async admit(attributes, client) {
      const pod = attributes.object as Pod;
      if (attributes.operation !== "CREATE" || isMirror(pod)) return;
      const spec = pod.spec as PodSpec;
      spec.serviceAccountName ||= DEFAULT_NAME;
      spec.serviceAccount = spec.serviceAccountName;
      const account = await accountOf(attributes, client, spec.serviceAccountName);
      if (spec.automountServiceAccountToken ?? account.automountServiceAccountToken ?? true) mountToken(spec);
      if (!spec.imagePullSecrets?.length && account.imagePullSecrets?.length) spec.imagePullSecrets = account.imagePullSecrets.map(({ name }) => (name === undefined ? {} : { name }));
    },
    async validate(attributes, client) {
      const pod = attributes.object as Pod;
      const spec = pod.spec as PodSpec;
      if (isMirror(pod)) return requireNoReferences(attributes, spec);
      const account = await accountOf(attributes, client, spec.serviceAccountName || DEFAULT_NAME);
      if (account.metadata.annotations?.[ENFORCE] === "true") requireMountable(attributes, spec, account);
    },
  };
}

function isMirror({ metadata }: Pod): boolean {
  return metadata.annotations?.[MIRROR] !== undefined;
}

async function accountOf(attributes: Attributes, client: Client, name: string): Promise<ServiceAccount> {
  try {
    return await client.get<ServiceAccount>(SERVICE_ACCOUNT, { name, namespace: attributes.namespace });
  } catch (error) {
    if (!isNotFound(error)) throw error;
    throw refuse(attributes, `error looking up service account ${attributes.namespace}/${name}: serviceaccount "${name}" not found`);
  }
}

function mountToken(spec: PodSpec): void {
  const existing = spec.volumes?.find(({ name }) => name.startsWith(VOLUME_PREFIX));
  const name = existing?.name ?? `${VOLUME_PREFIX}${suffix()}`;
  const needsMount = [...(spec.initContainers ?? []), ...((spec.containers as Container[] | undefined) ?? [])].filter(({ volumeMounts }) => !volumeMounts?.some(({ mountPath }) => mountPath === MOUNT_PATH));
  for (const container of needsMount) container.volumeMounts = [...(container.volumeMounts ?? []), { name, readOnly: true, mountPath: MOUNT_PATH }];
  if (!existing && needsMount.length > 0) spec.volumes = [...(spec.volumes ?? []), tokenVolume(name)];
}

function tokenVolume(name: string): Volume {
  return {
    name,
    projected: {
      defaultMode: 420,
      sources: [
        { serviceAccountToken: { expirationSeconds: TOKEN_SECONDS, path: "token" } },
        { configMap: { name: "kube-root-ca.crt", items: [{ key: "ca.crt", path: "ca.crt" }] } },
        { downwardAPI: { items: [{ path: "namespace", fieldRef: { apiVersion: "v1", fieldPath: "metadata.namespace" } }] } },
      ],
    },
  };
}

/** A node shows its static pods; what those may not do is reach into the API. */
function requireNoReferences(attributes: Attributes, spec: PodSpec): void {
  if (spec.serviceAccountName) throw refuse(attributes, "a mirror pod may not reference service accounts");
  if (containersOf(spec).some(({ env, envFrom }) => envFrom?.some(({ secretRef }) => secretRef) || env?.some(({ valueFrom }) => valueFrom?.secretKeyRef))) throw refuse(attributes, "a mirror pod may not reference secrets");
  for (const { projected } of spec.volumes ?? []) {
    if (projected?.sources?.some(({ serviceAccountToken }) => serviceAccountToken)) throw refuse(attributes, "a mirror pod may not use ServiceAccountToken volume projections");
  }
}

/** An account may be limited to the secrets it names. */
function requireMountable(attributes: Attributes, spec: PodSpec, account: ServiceAccount): void {
  const allowed = new Set((account.secrets ?? []).map(({ name }) => name));
  const why = (what: string, name: string | undefined): string => `${what} secret.name="${name}" is not allowed because service account ${account.metadata.name} does not reference that secret`;
  for (const { name, secret } of spec.volumes ?? []) if (secret && !allowed.has(secret.secretName)) throw refuse(attributes, why(`volume with`, secret.secretName ?? name));
  for (const { name, env, envFrom } of containersOf(spec)) {
    for (const { name: variable, valueFrom } of env ?? []) if (valueFrom?.secretKeyRef && !allowed.has(valueFrom.secretKeyRef.name)) throw refuse(attributes, why(`container ${name} with envVar ${variable} referencing`, valueFrom.secretKeyRef.name));
    for (const { secretRef } of envFrom ?? []) if (secretRef && !allowed.has(secretRef.name)) throw refuse(attributes, why(`container ${name} with envFrom referencing`, secretRef.name));
  }
  const pull = new Set((account.imagePullSecrets ?? []).map(({ name }) => name));
  for (const [index, { name }] of (spec.imagePullSecrets ?? []).entries()) if (!pull.has(name)) throw refuse(attributes, `imagePullSecrets[${index}].name="${name}" is not allowed because service account ${account.metadata.name} does not reference that imagePullSecret`);
}

function containersOf({ initContainers, containers, ephemeralContainers }: PodSpec): readonly Pick<Container, "name" | "env" | "envFrom">[] {
  return [...(initContainers ?? []), ...containers, ...(ephemeralContainers ?? [])];
}
