// Encryption of Secrets as the command line asks for it: where its keys are, what it covers, and its paths and numbers in the API.
import { join } from "node:path";
import type { OwnPaths } from "../control/apiserver/http/documents.ts";
import { ROOT } from "../control/apiserver/keys.ts";
import type { Pki } from "../control/pki/pki.ts";
import type { KeyStorage } from "../control/store/encryption/keyring.ts";
import { SharedKeys } from "../control/store/encryption/sharedkeys.ts";
import { openEncryption, type Encryption } from "../control/store/encryption/open.ts";
import { KeyFile } from "../control/store/encryption/keyfile.ts";
import type { Rotation } from "../control/store/encryption/rotation.ts";
import type { Store } from "../control/store/store.ts";
import { logger } from "../lib/log.ts";
import { isShared } from "./datastore.ts";
import { UsageError, type Values } from "./flags.ts";

const COVERED = [`${ROOT}core/secrets/`];
const log = logger("encryption");

/** The store as the API server sees it; throws when keys are missing that the store needs. */
export function encryptedStore(store: Store, { values, pki, signal }: { values: Values; pki: Pki; signal: AbortSignal }): Promise<Encryption> {
  return openEncryption(store, { storage: keyStorage(store, values, pki), prefixes: COVERED, turnOn: values["encrypt-secrets"] !== undefined, signal, onUnreadable: exitBecause });
}

/** Where control planes share a store they share the keys; alone, one keeps them away from what they open. */
function keyStorage(store: Store, values: Values, pki: Pki): KeyStorage {
  const directory = join(values["data-dir"] as string, "pki");
  const file = values["encryption-key-file"];
  if (!isShared(values)) return new KeyFile(file ?? join(directory, "encryption-keys.json"));
  if (file !== undefined) throw new UsageError("--encryption-key-file: control planes that share an etcd keep their keys there, sealed with pki/ca.key; leave it out");
  return new SharedKeys({ store, secret: pki.roots.authority.keyPem, secretDescription: join(directory, "ca.key") });
}

/** `GET /minik8s/secrets`, and POST to `/rotate` and `/decrypt` below it; each answers with how things are then. */
export function encryptionPaths(rotation: Rotation): OwnPaths {
  return async (method, path) => {
    if (method === "POST" && path === "/minik8s/secrets/rotate") await rotation.rotate();
    else if (method === "POST" && path === "/minik8s/secrets/decrypt") await rotation.turnOff();
    else if (method !== "GET" || path !== "/minik8s/secrets") return undefined;
    return { body: JSON.stringify(rotation.status()), contentType: "application/json" };
  };
}

/** How many Secrets lie under which key, in Prometheus' text form. */
export function encryptionFigures(rotation: Rotation): string {
  const { values, remaining, isSettled } = rotation.status();
  return [
    "# HELP minik8s_encryption_values Stored Secrets by the key they are encrypted with; none for plain ones.",
    "# TYPE minik8s_encryption_values gauge",
    ...Object.entries(values).map(([id, count]) => `minik8s_encryption_values{key="${id || "none"}"} ${count}`),
    "# HELP minik8s_encryption_pending Stored Secrets that are still to be written in the form wanted.",
    "# TYPE minik8s_encryption_pending gauge",
    `minik8s_encryption_pending ${remaining}`,
    "# HELP minik8s_encryption_settled Whether older forms have left history and files too.",
    "# TYPE minik8s_encryption_settled gauge",
    `minik8s_encryption_settled ${isSettled ? 1 : 0}`,
  ].join("\n");
}

/** What the caches hold may be wrong from here on, and a start says what is missing. */
function exitBecause(error: Error): void {
  log.fatal({ err: error }, "a Secret in the store cannot be read; stopping, because nothing may be decided on what is not known");
  process.exit(1);
}
