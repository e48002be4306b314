// The admission plugins in upstream's order: what every write passes between authorization and the store.
import type { Authorizer } from "../auth/auth.ts";
import { certificatePlugins } from "./certificates.ts";
import { defaultIngressClass, runtimeClass } from "./classes.ts";
import { namespaceLifecycle } from "./lifecycle.ts";
import { limitRanger } from "./limitranger.ts";
import { nodeRestriction } from "./noderestriction.ts";
import type { AdmissionPlugin } from "./plugin.ts";
import { podSecurity } from "./podsecurity/plugin.ts";
import { priority } from "./priority.ts";
import { resourceClaimRights } from "./resourceclaims.ts";
import { resourceQuota } from "./quota.ts";
import { serviceAccount } from "./serviceaccount.ts";
import { defaultStorageClass, persistentVolumeClaimResize, storageObjectInUseProtection } from "./storage.ts";
import { defaultTolerationSeconds, taintNodesByCondition } from "./tolerations.ts";

export interface AdmissionOptions {
  readonly authorizer: Authorizer;
  /** Policies and webhooks, which see what all others made of a write but for the quota. */
  readonly beforeQuota?: readonly AdmissionPlugin[];
}

/** All plugins that are on by default. */
export function createAdmission({ authorizer, beforeQuota = [] }: AdmissionOptions): AdmissionPlugin[] {
  return [
    namespaceLifecycle(), limitRanger(), serviceAccount(), nodeRestriction(authorizer), taintNodesByCondition(), podSecurity(),
    priority(), defaultTolerationSeconds(), defaultStorageClass(), storageObjectInUseProtection(), persistentVolumeClaimResize(),
    runtimeClass(), ...certificatePlugins(authorizer), defaultIngressClass(), resourceClaimRights(authorizer),
    ...beforeQuota,
    resourceQuota(),
  ];
}
