// How authentication and authorization see live objects: by name, from caches that are already there.
// Absence is undefined; nothing here waits.
import type { Informer, Informers } from "../../../api/client/informer.ts";
import { builtinKind } from "../../../api/registry.ts";
import type { KubeObject, Node, Pod, Secret, ServiceAccount, Stored } from "../../../api/types.ts";

/** Reads the objects credentials are bound to. */
export interface Lookup {
  serviceAccount(namespace: string, name: string): Stored<ServiceAccount> | undefined;
  pod(namespace: string, name: string): Stored<Pod> | undefined;
  secret(namespace: string, name: string): Stored<Secret> | undefined;
  node(name: string): Stored<Node> | undefined;
}

/** A lookup over informers, which it asks for. */
export function informerLookup(informers: Informers): Lookup {
  const core = <T extends KubeObject>(kind: string): Informer<T> => informers.for<T>(builtinKind("", "v1", kind));
  const [accounts, pods, secrets, nodes] = [core<ServiceAccount>("ServiceAccount"), core<Pod>("Pod"), core<Secret>("Secret"), core<Node>("Node")];
  return {
    serviceAccount: (namespace, name) => accounts.lister.get(`${namespace}/${name}`),
    pod: (namespace, name) => pods.lister.get(`${namespace}/${name}`),
    secret: (namespace, name) => secrets.lister.get(`${namespace}/${name}`),
    node: (name) => nodes.lister.get(name),
  };
}
