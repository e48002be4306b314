// Encryption of Secrets as the command line asks for it: where its keys are, what it covers, and its paths and numbers in the API.
import { join } from "node:path";
import type { OwnPaths } from "../control/apiserver/http/documents.ts";
import { ROOT } from "../control/apiserver/keys.ts";
import { openEncryption, type Encryption } from "../control/store/encryption/open.ts";
import { KeyFile } from "../control/store/encryption/keyfile.ts";
import type { Rotation } from "../control/store/encryption/rotation.ts";
import type { Store } from "../control/store/store.ts";
import { logger } from "../lib/log.ts";
import type { Values } from "./flags.ts";

const COVERED = [`${ROOT}core/secrets/`];
const log = logger("encryption");

/** The store as the API server sees it; throws when keys are missing that the store needs. */
export function encryptedStore(store: Store, values: Values, signal: AbortSignal): Promise<Encryption> {
  return openEncryption(store, { storage: new KeyFile(keyFilePath(values)), prefixes: COVERED, turnOn: values["encrypt-secrets"] !== undefined, signal, onUnreadable: exitBecause });
}

function keyFilePath(values: Values): string {
  return values["encryption-key-file"] ?? join(values["data-dir"] as string, "pki", "encryption-keys.json");
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
