// How Secrets are encrypted in the store: shows it, asks the control plane for a new key, or to stop encrypting.
// The control plane does the work and goes on with it after a crash; this only asks and watches.
import type { HttpClient } from "../api/client/http.ts";
import type { RotationStatus } from "../control/store/encryption/rotation.ts";
import { systemClock } from "../lib/clock.ts";
import type { Invocation } from "./commands.ts";
import { withAdmin } from "./connect.ts";
import { UsageError } from "./flags.ts";

const PATH = "/minik8s/secrets";
const POLL_MS = 500;

export async function runSecrets({ values, positionals }: Invocation): Promise<number> {
  const [action] = positionals;
  if (action !== "status" && action !== "rotate" && action !== "decrypt") throw new UsageError(`secrets ${action ?? ""}: say what to do: status, rotate or decrypt`);
  await withAdmin(values, async (client) => {
    if (action !== "status") await ask(client, action);
    await show(client, { untilWritten: action !== "status", untilSettled: values["wait"] !== undefined });
  });
  return 0;
}

async function ask(client: HttpClient, action: "rotate" | "decrypt"): Promise<void> {
  const { writes } = await client.request<RotationStatus>("GET", PATH);
  if (writes === "") throw new Error(`Secrets are not encrypted, so there is nothing to ${action}; start the control plane with --encrypt-secrets to encrypt them`);
  await client.request<RotationStatus>("POST", `${PATH}/${action}`, {});
  if (action === "decrypt") process.stdout.write("start control planes without --encrypt-secrets from now on; one that has it encrypts again\n");
}

async function show(client: HttpClient, { untilWritten, untilSettled }: { untilWritten: boolean; untilSettled: boolean }): Promise<void> {
  for (;;) {
    const status = await client.request<RotationStatus>("GET", PATH);
    const isDone = (!untilWritten || status.remaining === 0) && (!untilSettled || status.isSettled);
    if (isDone) return void process.stdout.write(describeStatus(status));
    await systemClock.sleep(POLL_MS);
  }
}

/** The status for a person. */
export function describeStatus({ keys, writes, values, remaining, isSettled }: RotationStatus): string {
  const lines = [`encryption  ${writes === "" ? "off" : `on, writing with key ${writes}`}`];
  for (const id of keys) lines.push(`key         ${id}: ${values[id] ?? 0} Secrets${id === writes ? "" : ", reads only"}`);
  if (values[""] || writes === "") lines.push(`plain       ${values[""] ?? 0} Secrets`);
  if (remaining > 0) lines.push(`pending     ${remaining} Secrets are being written anew`);
  else if (!isSettled) lines.push("pending     older forms are still in the store's history; they and their keys go within minutes");
  return `${lines.join("\n")}\n`;
}
