// Puts the server back between rounds: what was made goes, and so does what would stand in the way of the next requests.
import type { Sender } from "./send.ts";
import type { Resource } from "./surface.ts";
import { basePath } from "./surface.ts";

/** Whatever intercepts or diverts requests goes first. */
const IN_THE_WAY = ["mutatingwebhookconfigurations", "validatingwebhookconfigurations", "mutatingadmissionpolicybindings", "validatingadmissionpolicybindings", "mutatingadmissionpolicies", "validatingadmissionpolicies"];
const KEPT = new Set(["namespaces", "clusterroles", "clusterrolebindings", "flowschemas", "prioritylevelconfigurations", "priorityclasses", "servicecidrs", "ipaddresses", "componentstatuses", "customresourcedefinitions", "apiservices"]);
const NAMESPACES = ["fuzz-a", "fuzz-b"];
const JSON_HEADERS = { accept: "application/json", "content-type": "application/json" };

/** Deletes what the round made and makes the namespaces again. */
export async function sweep(sender: Sender, resources: readonly Resource[]): Promise<void> {
  const kinds = resources.filter(({ subresource, verbs }) => subresource === "" && verbs.includes("deletecollection"));
  const first = IN_THE_WAY.flatMap((plural) => kinds.filter((kind) => kind.plural === plural));
  for (const kind of first) await remove(sender, kind, "");
  for (const kind of kinds.filter(({ plural, group }) => !KEPT.has(plural) && !first.some((other) => other.plural === plural) && group !== "fuzz.example.com")) {
    for (const namespace of kind.namespaced ? [...NAMESPACES, "default"] : [""]) await remove(sender, kind, namespace);
  }
  for (const kind of kinds.filter(({ plural, group }) => KEPT.has(plural) || group === "fuzz.example.com")) await removeOwn(sender, kind);
  for (const name of NAMESPACES) await ask(sender, "POST", "/api/v1/namespaces", { metadata: { name } });
}

async function remove(sender: Sender, kind: Resource, namespace: string): Promise<void> {
  const path = `${basePath(kind)}${namespace === "" ? "" : `/namespaces/${namespace}`}/${kind.plural}`;
  await ask(sender, "DELETE", `${path}?gracePeriodSeconds=0`, undefined);
  const left = await ask(sender, "GET", path, undefined);
  const items = (left as { items?: { metadata: { name: string; finalizers?: string[] } }[] }).items ?? [];
  for (const { metadata } of items) if (metadata.finalizers?.length) await release(sender, `${path}/${encodeURIComponent(metadata.name)}`);
}

/** Of kinds the server has objects of its own of, only those a run makes. */
async function removeOwn(sender: Sender, kind: Resource): Promise<void> {
  const path = `${basePath(kind)}/${kind.plural}`;
  const found = (await ask(sender, "GET", path, undefined)) as { items?: { metadata: { name: string; namespace?: string; finalizers?: string[] } }[] };
  for (const { metadata } of found.items ?? []) {
    if (!/fuzz|example\.com|^(x|foos|widgets|gadgets|gizmos|10\.96\.77)/.test(metadata.name)) continue;
    const place = `${basePath(kind)}${metadata.namespace ? `/namespaces/${metadata.namespace}` : ""}/${kind.plural}/${encodeURIComponent(metadata.name)}`;
    await ask(sender, "DELETE", `${place}?gracePeriodSeconds=0`, undefined);
    if (metadata.finalizers?.length && kind.plural !== "customresourcedefinitions") await release(sender, place);
  }
}

async function release(sender: Sender, path: string): Promise<void> {
  await sender.send({ method: "PATCH", path, headers: { accept: "application/json", "content-type": "application/merge-patch+json" }, body: Buffer.from('{"metadata":{"finalizers":null}}') }, "h2");
}

async function ask(sender: Sender, method: string, path: string, body: unknown): Promise<unknown> {
  const { body: bytes } = await sender.send({ method, path, headers: body === undefined ? { accept: "application/json" } : JSON_HEADERS, ...(body !== undefined && { body: Buffer.from(JSON.stringify(body)) }) }, "h2");
  try {
    return JSON.parse(bytes.toString()) as unknown;
  } catch {
    return {};
  }
}
