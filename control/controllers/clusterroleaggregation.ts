// Fills ClusterRoles that are made of others: their rules are those of every role their selectors find.
import { WorkQueue } from "../../api/client/workqueue.ts";
import { matcherOf } from "../../api/selectors.ts";
import type { ClusterRole, PolicyRule, Stored } from "../../api/types.ts";
import { controllerOf, telling, type Controller, type ControllerDeps } from "./controller.ts";
import { CLUSTER_ROLE } from "./kinds.ts";
import { isSame } from "./template.ts";

const NAME = "clusterrole-aggregation-controller";

export function clusterRoleAggregationController(deps: ControllerDeps): Controller {
  const client = deps.clientFor(NAME);
  const queue = new WorkQueue({ clock: deps.clock });
  const roles = deps.informers.for<ClusterRole>(CLUSTER_ROLE);
  // Which roles a change matters to would have to be computed; there are never many that aggregate.
  const enqueueAll = (): void => roles.lister.list().forEach((role) => (role.aggregationRule ? queue.add(role.metadata.name) : undefined));
  roles.addHandler({
    add: enqueueAll, delete: enqueueAll,
    update: (role, old) => (isSame([role.rules, role.aggregationRule, role.metadata.labels], [old.rules, old.aggregationRule, old.metadata.labels]) ? undefined : enqueueAll()),
  });
  const reconcile = async (name: string): Promise<void> => {
    const role = roles.lister.get(name);
    if (!role?.aggregationRule) return;
    const rules = aggregatedRules(role, roles.lister.list());
    if (isSame(rules, role.rules ?? [])) return;
    const body = { apiVersion: "rbac.authorization.k8s.io/v1", kind: "ClusterRole", metadata: { name }, rules };
    await client.patch<ClusterRole>(CLUSTER_ROLE, { name }, body, { type: "apply", fieldManager: NAME, force: true });
  };
  return controllerOf({ name: NAME, queue, informers: deps.informers, reconcile, subject: telling(deps, NAME, roles) });
}

/** The rules of all selected roles, in the order of their names, each once. */
export function aggregatedRules(role: ClusterRole, all: readonly Stored<ClusterRole>[]): PolicyRule[] {
  const rules: PolicyRule[] = [];
  for (const selector of role.aggregationRule?.clusterRoleSelectors ?? []) {
    const matcher = matcherOf(selector);
    const selected = all.filter(({ metadata }) => metadata.name !== role.metadata.name && matcher.matches(metadata.labels));
    for (const { rules: found } of selected.toSorted((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))) {
      for (const rule of found ?? []) if (!rules.some((known) => isSame(known, rule))) rules.push(rule);
    }
  }
  return rules;
}
