// The health checks of an API server that is put together here: upstream's names, in upstream's order, of the work that exists in it.
// A poststarthook passes once its work was done; what else is checked is handed in.
import type { Extension } from "../control/apiserver/engine.ts";
import { StartHooks } from "../control/apiserver/http/starthooks.ts";

export interface HookOptions {
  /** Whether requests are limited by priority and fairness or by their number. */
  readonly isFair: boolean;
  /** Throws while APIServices of what is served here are missing. */
  readonly requireRegistered: () => void;
}

/** All of them, nothing done yet. */
export function startHooks({ isFair, requireRegistered }: HookOptions): StartHooks {
  return new StartHooks([
    "informer-sync",
    ...[
      "generic-apiserver-start-informers", ...(isFair ? ["priority-and-fairness-config-consumer", "priority-and-fairness-filter"] : ["max-in-flight-filter"]),
      "start-apiextensions-informers", "start-apiextensions-controllers", "crd-informer-synced",
      "start-system-namespaces-controller", "start-cluster-authentication-info-controller", "start-legacy-token-tracking-controller", "start-service-ip-repair-controllers",
      "rbac/bootstrap-roles", "scheduling/bootstrap-system-priority-classes", "priority-and-fairness-config-producer", "bootstrap-controller", "start-kubernetes-service-cidr-controller",
      "start-kube-aggregator-informers", "apiservice-status-local-available-controller", "apiservice-status-remote-available-controller", "apiservice-registration-controller", "apiservice-discovery-controller", "kube-apiserver-autoregistration",
    ].map(hook),
    { name: "autoregister-completion", check: requireRegistered },
    ...["apiservice-openapi-controller", "apiservice-openapiv3-controller"].map(hook),
  ]);
}

/** An extension whose start these hooks stand for. */
export function hooked(hooks: StartHooks, extension: Extension, names: readonly string[]): Extension {
  return { start: (engine, signal) => hooks.run(extension.start(engine, signal), ...names.map(hook)) };
}

export const AGGREGATOR_HOOKS: readonly string[] = [
  "start-kube-aggregator-informers", "apiservice-status-local-available-controller", "apiservice-status-remote-available-controller", "apiservice-registration-controller",
  "apiservice-discovery-controller", "kube-apiserver-autoregistration", "apiservice-openapi-controller", "apiservice-openapiv3-controller",
];
export const CRD_HOOKS: readonly string[] = ["start-apiextensions-informers", "start-apiextensions-controllers", "crd-informer-synced"];
export const LIMIT_HOOKS: readonly string[] = ["priority-and-fairness-config-consumer", "priority-and-fairness-filter", "max-in-flight-filter"];

/** The name of a hook's check. */
export function hook(name: string): string {
  return `poststarthook/${name}`;
}
