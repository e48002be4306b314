// Which claims a pod uses, or why it cannot use them yet.
// Sentences: k8s.io/dynamic-resource-allocation/resourceclaim.
import type { Pod, Stored } from "../../../api/types.ts";
import type { DeviceObjects } from "./objects.ts";
import type { Claim } from "./types.ts";

/** The claims of a pod in the order it names them; a sentence when one is not there, or not the pod's. */
export function claimsOfPod(pod: Stored<Pod>, objects: DeviceObjects): readonly Claim[] | string {
  const claims: Claim[] = [];
  for (const podClaim of pod.spec?.resourceClaims ?? []) {
    const named = nameOf(pod, podClaim);
    if ("problem" in named) return named.problem;
    // None was wanted for this pod after all.
    if (named.name === undefined) continue;
    const claim = objects.claims.get(`${pod.metadata.namespace}/${named.name}`);
    const problem = claim ? whyNot(claim, pod, podClaim.resourceClaimTemplateName !== undefined) : `resourceclaim.resource.k8s.io ${JSON.stringify(named.name)} not found`;
    if (problem !== undefined) return problem;
    claims.push(claim as Claim);
  }
  return claims;
}

export const isReservedFor = ({ status }: Claim, uid: string): boolean => (status?.reservedFor ?? []).some((consumer) => consumer.uid === uid);

type PodClaim = NonNullable<NonNullable<Pod["spec"]>["resourceClaims"]>[number];

function nameOf({ metadata, status }: Stored<Pod>, { name, resourceClaimName, resourceClaimTemplateName }: PodClaim): { name: string | undefined } | { problem: string } {
  if (resourceClaimName !== undefined) return { name: resourceClaimName };
  const pod = `pod "${metadata.namespace}/${metadata.name}"`;
  if (resourceClaimTemplateName === undefined) return { problem: `${pod}, spec.resourceClaim ${JSON.stringify(name)}: none of the supported fields are set` };
  const made = status?.resourceClaimStatuses?.find((each) => each.name === name);
  return made ? { name: made.resourceClaimName } : { problem: `${pod}: ResourceClaim not created yet` };
}

function whyNot({ metadata }: Claim, pod: Stored<Pod>, mustOwn: boolean): string | undefined {
  if (metadata.deletionTimestamp !== undefined) return `resourceclaim ${JSON.stringify(metadata.name)} is being deleted`;
  const isOwner = metadata.ownerReferences?.some((owner) => owner.controller && owner.uid === pod.metadata.uid);
  if (!mustOwn || isOwner) return undefined;
  const { namespace, name } = pod.metadata;
  return `ResourceClaim ${metadata.namespace}/${metadata.name} was not created for Pod ${namespace}/${name} (Pod is not owner)`;
}
