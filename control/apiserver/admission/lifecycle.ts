// NamespaceLifecycle: nothing is created in namespaces that are not there or are going, and some are for ever.
import { ApiError } from "../../../api/errors.ts";
import { builtinKind } from "../../../api/registry.ts";
import type { Client } from "../../../api/client/client.ts";
import type { Namespace } from "../../../api/types.ts";
import { refuse } from "./attributes.ts";
import type { AdmissionPlugin, Attributes } from "./plugin.ts";

const NAMESPACE = builtinKind("", "v1", "Namespace");
const IMMORTAL = new Set(["default", "kube-system", "kube-public"]);

/** Guards the life of namespaces. */
export function namespaceLifecycle(): AdmissionPlugin {
  return {
    name: "NamespaceLifecycle",
    concerns: ({ kind, operation, subresource }) =>
      operation === "DELETE" ? kind.plural === "namespaces" && kind.group === "" : (operation === "CREATE" || (operation === "UPDATE" && subresource === "")) && kind.namespaced && kind.group !== "authorization.k8s.io",
    admit: (attributes, client) => {
      if (attributes.operation !== "DELETE") return requireLiving(attributes, client);
      if (IMMORTAL.has(attributes.name)) throw refuse(attributes, "this namespace may not be deleted");
    },
  };
}

async function requireLiving(attributes: Attributes, client: Client): Promise<void> {
  const { namespace, operation } = attributes;
  const { status } = await client.get<Namespace>(NAMESPACE, { name: namespace });
  if (operation !== "CREATE" || status?.phase !== "Terminating") return;
  const { code, reason, message, details } = refuse(attributes, `unable to create new content in namespace ${namespace} because it is being terminated`);
  throw new ApiError(code, reason, message, { ...details, causes: [{ reason: "NamespaceTerminating", message: `namespace ${namespace} is being terminated`, field: "metadata.namespace" }] });
}
