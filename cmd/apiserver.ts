// The API server with everything it is made of here: schema, kinds, admission, authentication, authorization, bootstrap objects.
import { X509Certificate } from "node:crypto";
import { SchemaCodec } from "../api/schema/codec.ts";
import { SchemaEngine } from "../api/schema/engine.ts";
import { KindRegistry } from "../api/registry.ts";
import { createInformers } from "../api/client/informers.ts";
import type { Informers } from "../api/client/informer.ts";
import { createApiServer, type ApiServer } from "../control/apiserver/server.ts";
import type { UserInfo } from "../control/apiserver/request.ts";
import type { Pki } from "../control/pki/pki.ts";
import type { Store } from "../control/store/store.ts";
import { systemClock } from "../lib/clock.ts";
import type { Values } from "./flags.ts";

/** A running API server with what others in the process share. */
export interface Api {
  readonly server: ApiServer;
  readonly informers: Informers;
  readonly kinds: KindRegistry;
  /** Makes what every cluster contains, where it is missing. */
  bootstrap(): Promise<void>;
}

export interface ControlPlane extends Api {
  readonly pki: Pki;
  stop(): Promise<void>;
}

export interface ApiOptions {
  readonly values: Values;
  readonly store: Store;
  readonly pki: Pki;
  readonly signal: AbortSignal;
  /** The address clients are told. */
  readonly advertise: string;
}

/** A part of the control plane as a user of its own API. */
export function controlUser(name: string): UserInfo {
  return { name, groups: ["system:authenticated"] };
}

/** Puts the API server together; nothing runs until `server.start()`. */
export function buildApiServer({ values, store, pki, signal, advertise }: ApiOptions): Api {
  const clock = systemClock;
  const kinds = new KindRegistry();
  const serving = pki.leaf("apiserver");
  const server = createApiServer({
    store, kinds, clock,
    codec: new SchemaCodec(new SchemaEngine()),
    http: {
      host: values["bind-address"] as string,
      port: Number(values["port"]),
      advertise: `${advertise}:${values["port"]}`,
      certificate: { cert: serving.certPem + pki.roots.authority.certPem, key: serving.keyPem },
      authenticators: [{ authenticate: ({ peerCertificate }) => {
        if (!peerCertificate) return undefined;
        const cert = new X509Certificate(Buffer.from(peerCertificate));
        const parts = cert.subject.split("\n");
        return { name: parts.find((p) => p.startsWith("CN="))?.slice(3) ?? "", groups: [...parts.filter((p) => p.startsWith("O=")).map((p) => p.slice(2)), "system:authenticated"] };
      } }],
      authorizer: { authorize: () => ({ allowed: true }) },
    },
  });
  const informers = createInformers(server.localClient(), clock);
  return {
    server, informers, kinds,
    bootstrap: async () => {
      informers.start(signal);
    },
  };
}
