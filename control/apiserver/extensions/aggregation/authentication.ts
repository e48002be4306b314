// Tells API servers behind this one whom to believe: the ConfigMap `kube-system/extension-apiserver-authentication`.
import type { Client } from "../../../../api/client/client.ts";
import { createOrUpdate } from "../../../../api/client/create-or-update.ts";
import { builtinKind } from "../../../../api/registry.ts";
import type { ConfigMap } from "../../../../api/types.ts";

const CONFIG_MAP = builtinKind("", "v1", "ConfigMap");

/** Publishes both authorities, PEM: of clients, and of the front proxy. */
export async function publishAuthentication(client: Client, { clientCa, frontProxyCa }: { clientCa: string; frontProxyCa: string }): Promise<void> {
  const object: ConfigMap = {
    metadata: { name: "extension-apiserver-authentication", namespace: "kube-system" },
    data: {
      "client-ca-file": clientCa, "requestheader-client-ca-file": frontProxyCa, "requestheader-allowed-names": '["front-proxy-client"]',
      "requestheader-username-headers": '["X-Remote-User"]', "requestheader-group-headers": '["X-Remote-Group"]', "requestheader-uid-headers": '["X-Remote-Uid"]', "requestheader-extra-headers-prefix": '["X-Remote-Extra-"]',
    },
  };
  await createOrUpdate(client, CONFIG_MAP, object);
}
