// What the API offers, as documents: group and resource lists in the plain form, and everything at once in the aggregated form.
// Built from the table of kinds when first asked for, and again after it changed.
import { createHash } from "node:crypto";
import { apiVersionOf, type KindInfo, type SubresourceInfo } from "../../../api/kinds.ts";
import type { KindRegistry } from "../../../api/registry.ts";
import { compareVersions } from "../extensions/crd/schema.ts";

/** Groups in the order upstream lists them; others follow by name. */
const GROUP_ORDER = [
  "apiregistration.k8s.io", "apps", "events.k8s.io", "authentication.k8s.io", "authorization.k8s.io", "autoscaling", "batch",
  "certificates.k8s.io", "networking.k8s.io", "policy", "rbac.authorization.k8s.io", "storage.k8s.io", "admissionregistration.k8s.io",
  "apiextensions.k8s.io", "scheduling.k8s.io", "coordination.k8s.io", "node.k8s.io", "discovery.k8s.io", "resource.k8s.io", "flowcontrol.apiserver.k8s.io",
];

interface GroupVersion {
  readonly group: string;
  readonly version: string;
  readonly kinds: readonly KindInfo[];
}

/** The discovery documents of a set of kinds. */
export class Discovery {
  #groups: Map<string, GroupVersion[]> | undefined;
  readonly #aggregated = new Map<string, { body: Buffer; etag: string }>();

  constructor(private readonly kinds: KindRegistry, private readonly serverAddress: () => string, private readonly remote?: KindRegistry) {
    const forget = (): void => {
      this.#groups = undefined;
      this.#aggregated.clear();
    };
    kinds.onChange(forget);
    // What other API servers serve.
    remote?.onChange(forget);
  }

  /** `/api`. */
  coreVersions(): unknown {
    return { kind: "APIVersions", versions: ["v1"], serverAddressByClientCIDRs: [{ clientCIDR: "0.0.0.0/0", serverAddress: this.serverAddress() }] };
  }

  /** `/apis`. */
  groupList(): unknown {
    return { kind: "APIGroupList", apiVersion: "v1", groups: this.groupNames().map((group) => groupOf(group, this.#versions(group))) };
  }

  /** `/apis/<group>`, undefined for a group that is not served. */
  group(group: string): unknown {
    const versions = this.#byGroup().get(group);
    return group === "" || !versions ? undefined : { kind: "APIGroup", apiVersion: "v1", ...groupOf(group, versions) };
  }

  /** `/api/v1` and `/apis/<group>/<version>`, undefined for a version that is not served. */
  resources(group: string, version: string): unknown {
    const found = this.#byGroup().get(group)?.find((candidate) => candidate.version === version);
    if (!found) return undefined;
    // Upstream leaves apiVersion out of the core group's document.
    return { kind: "APIResourceList", ...(group !== "" && { apiVersion: "v1" }), groupVersion: apiVersionOf(found), resources: found.kinds.flatMap(resourcesOf) };
  }

  /** The aggregated document of `/api` or `/apis`, with its ETag. */
  aggregated(root: "api" | "apis", version: string): { body: Buffer; etag: string } {
    const key = `${root} ${version}`;
    let known = this.#aggregated.get(key);
    if (!known) {
      const groups = root === "api" ? [""] : this.groupNames();
      const body = Buffer.from(JSON.stringify({ kind: "APIGroupDiscoveryList", apiVersion: `apidiscovery.k8s.io/${version}`, metadata: {}, items: groups.map((group) => aggregatedGroup(group, this.#versions(group))) }));
      this.#aggregated.set(key, (known = { body, etag: `"${createHash("sha512").update(body).digest("hex").toUpperCase()}"` }));
    }
    return known;
  }

  /** Named groups in discovery order. */
  groupNames(): string[] {
    return [...this.#byGroup().keys()].filter((group) => group !== "").sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
  }

  /** Every served group and version, the core group first. */
  groupVersions(): readonly { group: string; version: string }[] {
    return ["", ...this.groupNames()].flatMap((group) => this.#versions(group));
  }

  #versions(group: string): readonly GroupVersion[] {
    return this.#byGroup().get(group) ?? [];
  }

  #byGroup(): Map<string, GroupVersion[]> {
    if (this.#groups) return this.#groups;
    const kindsOf = Map.groupBy([...this.kinds.all(), ...(this.remote?.all() ?? [])], apiVersionOf);
    const versions = [...kindsOf.values()].map((kinds) => ({ group: kinds[0]?.group ?? "", version: kinds[0]?.version ?? "", kinds }));
    this.#groups = Map.groupBy(versions, ({ group }) => group);
    for (const served of this.#groups.values()) served.sort((a, b) => compareVersions(a.version, b.version));
    return this.#groups;
  }
}

function rank(group: string): number {
  return GROUP_ORDER.indexOf(group) + 1 || GROUP_ORDER.length + 1;
}

function groupOf(name: string, versions: readonly GroupVersion[]): Record<string, unknown> {
  const named = versions.map((gv) => ({ groupVersion: apiVersionOf(gv), version: gv.version }));
  return { name, versions: named, preferredVersion: named[0] };
}

function resourcesOf(kind: KindInfo): unknown[] {
  const { plural, singular, namespaced, verbs, listedVerbs = verbs, shortNames, categories } = kind;
  const main = {
    name: plural, singularName: singular, namespaced, kind: kind.kind, verbs: listedVerbs,
    ...(shortNames.length > 0 && { shortNames }), ...(categories.length > 0 && { categories }),
    ...(isStored(kind) && { storageVersionHash: storageVersionHash(kind) }),
  };
  const subs = Object.values(kind.subresources).sort((a, b) => (a.name < b.name ? -1 : 1));
  return [main, ...subs.map(({ name, gvk, verbs }) => ({ name: `${plural}/${name}`, singularName: "", namespaced, ...foreign(kind, gvk), kind: gvk.kind, verbs }))];
}

/** Only what can be listed and created is stored. */
function isStored({ verbs }: KindInfo): boolean {
  return verbs.includes("list") && verbs.includes("create");
}

function storageVersionHash(kind: KindInfo): string {
  const { group, version } = kind.storedAs ?? kind;
  return createHash("sha256").update(`${group}/${version}/${kind.kind}`).digest().subarray(0, 8).toString("base64");
}

/** Group and version, where they are not those of the resource itself. */
function foreign(kind: KindInfo, gvk: SubresourceInfo["gvk"]): { group?: string; version?: string } {
  return gvk.group === kind.group && gvk.version === kind.version ? {} : { group: gvk.group, version: gvk.version };
}

function aggregatedGroup(group: string, versions: readonly GroupVersion[]): unknown {
  return { metadata: { ...(group !== "" && { name: group }), creationTimestamp: null }, versions: versions.map(({ version, kinds }) => ({ version, resources: kinds.map(aggregatedResource), freshness: "Current" })) };
}

function aggregatedResource(kind: KindInfo): unknown {
  const { plural, singular, namespaced, verbs, listedVerbs = verbs, shortNames, categories } = kind;
  const subs = Object.values(kind.subresources).sort((a, b) => (a.name < b.name ? -1 : 1));
  return {
    resource: plural, responseKind: responseKind(kind, kind), scope: namespaced ? "Namespaced" : "Cluster", singularResource: singular, verbs: listedVerbs,
    ...(shortNames.length > 0 && { shortNames }), ...(categories.length > 0 && { categories }),
    ...(subs.length > 0 && { subresources: subs.map(({ name, gvk, verbs }) => ({ subresource: name, responseKind: responseKind(kind, gvk), verbs })) }),
  };
}

function responseKind(kind: KindInfo, gvk: SubresourceInfo["gvk"]): unknown {
  return { group: "", version: "", ...foreign(kind, gvk), kind: gvk.kind };
}
