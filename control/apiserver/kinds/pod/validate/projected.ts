// Rules for projected volumes: each source on its own, and no two files at the same path.
import { field, type FieldError } from "../../../../../api/errors.ts";
import type { Volume, VolumeProjection } from "../../../../../api/types.ts";
import { checkSelector } from "../../validation/labels.ts";
import { checkLocalPath, checkMode } from "./paths.ts";
import { checkDownwardFile, checkItems } from "./volumes.ts";

const MIN_TOKEN_SECONDS = 600;
const MAX_TOKEN_SECONDS = 2 ** 32;
const KEY_TYPES = ["RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519"];

/** `projected`. */
export function checkProjected(errors: FieldError[], path: string, { defaultMode, sources }: NonNullable<Volume["projected"]>): void {
  checkMode(errors, `${path}.defaultMode`, defaultMode);
  const paths = new Set<string>();
  for (const [index, source] of (sources ?? []).entries()) {
    const at = `${path}.sources[${index}]`;
    const claim = (target: string | undefined, value: string): void => {
      if (!target) return;
      if (paths.has(target)) errors.push(field.invalid(path, value, "conflicting duplicate paths"));
      paths.add(target);
    };
    checkFiles(errors, at, source, claim);
    checkToken(errors, path, at, source.serviceAccountToken);
    checkBundle(errors, `${at}.clusterTrustBundle`, source.clusterTrustBundle);
    if (source.clusterTrustBundle) claim(source.clusterTrustBundle.path, source.clusterTrustBundle.path);
    checkCertificate(errors, `${at}.podCertificate`, source.podCertificate);
    for (const target of [source.podCertificate?.credentialBundlePath, source.podCertificate?.keyPath, source.podCertificate?.certificateChainPath]) claim(target, target ?? "");
    const kinds = Object.values(source).filter((value) => value !== undefined).length;
    if (kinds > 1) errors.push(field.forbidden(at, "may not specify more than 1 volume type per source"));
  }
}

function checkFiles(errors: FieldError[], path: string, { secret, configMap, downwardAPI }: VolumeProjection, claim: (target: string | undefined, value: string) => void): void {
  for (const [kind, source] of [["secret", secret], ["configMap", configMap]] as const) {
    if (!source) continue;
    if (!source.name) errors.push(field.required(`${path}.${kind}.name`));
    checkItems(errors, `${path}.${kind}.items`, source.items);
    for (const { path: target } of source.items ?? []) claim(target, source.name ?? "");
  }
  for (const file of downwardAPI?.items ?? []) {
    checkDownwardFile(errors, `${path}.downwardAPI`, file);
    claim(file.path, file.path);
  }
}

// The sink, the volume (where upstream reports paths), the source, and its token.
function checkToken(errors: FieldError[], volumePath: string, path: string, token: VolumeProjection["serviceAccountToken"]): void {
  if (!token) return;
  const seconds = token.expirationSeconds ?? 0;
  const at = `${path}.serviceAccountToken.expirationSeconds`;
  if (seconds < MIN_TOKEN_SECONDS) errors.push(field.invalid(at, seconds, "may not specify a duration less than 10 minutes"));
  if (seconds > MAX_TOKEN_SECONDS) errors.push(field.invalid(at, seconds, "may not specify a duration larger than 2^32 seconds"));
  if (!token.path) errors.push(field.required(`${volumePath}.path`));
  else checkLocalPath(errors, `${volumePath}.path`, token.path);
}

function checkBundle(errors: FieldError[], path: string, bundle: VolumeProjection["clusterTrustBundle"]): void {
  if (!bundle) return;
  const { name, signerName, labelSelector, path: target } = bundle;
  if (name !== undefined && signerName !== undefined) errors.push(field.invalid(path, bundle, "only one of name and signerName may be used"));
  else if (name !== undefined) {
    if (name === "") errors.push(field.required(`${path}.name`, "must be a valid object name"));
    if (labelSelector) errors.push(field.invalid(`${path}.labelSelector`, labelSelector, "labelSelector must be unset if name is specified"));
  } else if (signerName !== undefined) {
    if (signerName === "") errors.push(field.required(`${path}.signerName`, "must be a valid signer name"));
    checkSelector(errors, `${path}.labelSelector`, labelSelector);
  } else errors.push(field.required(path, "either name or signerName must be specified"));
  if (!target) errors.push(field.required(`${path}.path`));
  checkLocalPath(errors, `${path}.path`, target ?? "");
}

function checkCertificate(errors: FieldError[], path: string, certificate: VolumeProjection["podCertificate"]): void {
  if (!certificate) return;
  if (!KEY_TYPES.includes(certificate.keyType)) errors.push(field.notSupported(`${path}.keyType`, certificate.keyType, KEY_TYPES));
  const targets = (["credentialBundlePath", "keyPath", "certificateChainPath"] as const).filter((name) => certificate[name]);
  for (const name of targets) checkLocalPath(errors, `${path}.${name}`, certificate[name] as string);
  if (targets.length === 0) errors.push(field.required(path, "specify at least one of credentialBundlePath, keyPath, and certificateChainPath"));
}
