// In which order groups and versions served here are offered, as upstream ranks them.
// Source: pkg/controlplane/apiserver/aggregator.go.

const GROUPS: Readonly<Record<string, number>> = {
  "": 18_000, apps: 17_800, "events.k8s.io": 17_750, "authentication.k8s.io": 17_700, "authorization.k8s.io": 17_600, autoscaling: 17_500, batch: 17_400,
  "certificates.k8s.io": 17_300, "networking.k8s.io": 17_200, policy: 17_100, "rbac.authorization.k8s.io": 17_000, "storage.k8s.io": 16_800,
  "apiextensions.k8s.io": 16_700, "admissionregistration.k8s.io": 16_700, "scheduling.k8s.io": 16_600, "coordination.k8s.io": 16_500,
  "node.k8s.io": 16_300, "discovery.k8s.io": 16_200, "flowcontrol.apiserver.k8s.io": 16_100, "resource.k8s.io": 15_900,
};
const CUSTOM = { groupPriorityMinimum: 1_000, versionPriority: 100 };

/** The priorities of a group-version. */
export function prioritiesOf({ group, version }: { readonly group: string; readonly version: string }): { groupPriorityMinimum: number; versionPriority: number } {
  const groupPriorityMinimum = GROUPS[group];
  if (groupPriorityMinimum === undefined) return CUSTOM;
  return { groupPriorityMinimum, versionPriority: group === "" ? 1 : group === "autoscaling" && version === "v2" ? 30 : 15 };
}
