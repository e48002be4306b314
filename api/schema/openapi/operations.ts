// Every request the API answers, as data: method, path, parameters, bodies, replies. Both OpenAPI versions are written from it.
// Derived from the table of kinds alone, so that kinds added at run time are described like all others.
import type { GroupVersionKind, KindInfo, Verb } from "../../kinds.ts";
import { definitionName } from "../node.ts";
import type { ParameterData } from "../data.ts";

/** One parameter of one request. */
export interface Parameter extends ParameterData {
  readonly in: "query" | "path";
  readonly isRequired?: boolean;
}

/** One request. */
export interface Operation {
  readonly method: string;
  readonly description?: string;
  readonly operationId: string;
  readonly tags: readonly string[];
  readonly action?: string;
  readonly gvk?: GroupVersionKind;
  readonly parameters: readonly Parameter[];
  /** The definition the body is of; `*` for any. */
  readonly body?: { readonly definition: string; readonly isRequired: boolean };
  readonly consumes?: readonly string[];
  readonly produces?: readonly string[];
  /** What comes back with these codes: a definition, or text when it is `string`. */
  readonly reply?: { readonly definition: string; readonly codes: readonly number[] };
}

export type Paths = Record<string, Operation[]>;
type ParameterSets = Readonly<Record<string, readonly ParameterData[]>>;

const META = "io.k8s.apimachinery.pkg.apis.meta.v1";
const OBJECTS = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf", "application/cbor"];
const STREAMS = [...OBJECTS, "application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch", "application/cbor-seq"];
const PATCHES = ["application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json", "application/apply-patch+yaml", "application/apply-patch+cbor"];
/** Custom resources have no strategic merge: a client that reads so sends a merge patch. */
const CUSTOM_PATCHES = ["application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml"];
const DISCOVERY = OBJECTS.slice(0, 3);
const CONNECT_METHODS = ["get", "post", "put", "patch", "delete", "head", "options"];
/** A delete of these answers with the object, not with a Status. */
const DELETED_IS_RETURNED = new Set([
  "PersistentVolumeClaim", "Pod", "PodTemplate", "ResourceQuota", "ServiceAccount", "Service", "PersistentVolume", "DeviceClass", "ResourceClaim",
  "ResourceClaimTemplate", "ResourceSlice", "CSIDriver", "CSINode", "StorageClass", "VolumeAttachment", "VolumeAttributesClass",
]);

/** The paths of one kind, subresources included. */
export function kindPaths(kind: KindInfo, sets: ParameterSets): Paths {
  return new KindPaths(kind, sets).all();
}

/** Where the kinds of a group-version are: `/api/v1` or `/apis/<group>/<version>`. */
export function groupVersionPath(gv: { readonly group: string; readonly version: string }): string {
  return gv.group === "" ? `/api/${gv.version}` : `/apis/${gv.group}/${gv.version}`;
}

/** `rbacAuthorization` for `rbac.authorization.k8s.io`: how tags and operations name a group. */
export function groupName(group: string): string {
  if (group === "") return "core";
  return group.replace(/\.k8s\.io$/, "").replace(/[.-](\w)/g, (_, letter: string) => letter.toUpperCase());
}

/** The discovery requests of a group and of one of its versions. */
export function discoveryPaths(gv: { readonly group: string; readonly version: string }): Paths {
  const name = groupName(gv.group);
  const Name = capital(name);
  const read = { method: "get", parameters: [], reply: { definition: `${META}.APIResourceList`, codes: [200] } };
  const resources: Operation = { ...read, description: "get available resources", operationId: `get${Name}${capital(gv.version)}APIResources`, tags: [`${name}_${gv.version}`], consumes: OBJECTS, produces: OBJECTS };
  return { [`${groupVersionPath(gv)}/`]: [resources] };
}

/** The discovery request of a group: `/apis/<group>/`, or `/api/` for the core group. */
export function groupPaths(group: string): Paths {
  const name = groupName(group);
  const common = { method: "get", parameters: [], consumes: DISCOVERY, produces: DISCOVERY, tags: [name] };
  if (group === "") return { "/api/": [{ ...common, description: "get available API versions", operationId: "getCoreAPIVersions", reply: { definition: `${META}.APIVersions`, codes: [200] } }] };
  return { [`/apis/${group}/`]: [{ ...common, description: "get information of a group", operationId: `get${capital(name)}APIGroup`, reply: { definition: `${META}.APIGroup`, codes: [200] } }] };
}

/** Requests outside any group, by the document that describes them. */
export const OTHER_PATHS: Readonly<Record<string, Paths>> = {
  apis: { "/apis/": [{ method: "get", description: "get available API versions", operationId: "getAPIVersions", tags: ["apis"], parameters: [], consumes: DISCOVERY, produces: DISCOVERY, reply: { definition: `${META}.APIGroupList`, codes: [200] } }] },
  version: { "/version/": [{ method: "get", description: "get the version information for this server", operationId: "getCodeVersion", tags: ["version"], parameters: [], consumes: ["application/json"], produces: ["application/json"], reply: { definition: "io.k8s.apimachinery.pkg.version.Info", codes: [200] } }] },
  "openid/v1/jwks": { "/openid/v1/jwks/": [{ method: "get", description: "get service account issuer OpenID JSON Web Key Set (contains public token verification keys)", operationId: "getServiceAccountIssuerOpenIDKeyset", tags: ["openid"], parameters: [], produces: ["application/jwk-set+json"], reply: { definition: "string", codes: [200] } }] },
  ".well-known/openid-configuration": { "/.well-known/openid-configuration/": [{ method: "get", description: "get service account issuer OpenID configuration, also known as the 'OIDC discovery doc'", operationId: "getServiceAccountIssuerOpenIDConfiguration", tags: ["WellKnown"], parameters: [], produces: ["application/json"], reply: { definition: "string", codes: [200] } }] },
};

class KindPaths {
  readonly #paths: Paths = {};
  readonly #tag: string;
  readonly #prefix: string;
  readonly #definition: string;

  constructor(private readonly kind: KindInfo, private readonly sets: ParameterSets) {
    const name = groupName(kind.group);
    this.#tag = `${name}_${kind.version}`;
    this.#prefix = `${capital(name)}${capital(kind.version)}`;
    this.#definition = definitionName(kind);
  }

  all(): Paths {
    const { kind } = this;
    const base = groupVersionPath(kind);
    const scope = kind.namespaced ? "/namespaces/{namespace}" : "";
    this.#collection(`${base}${scope}/${kind.plural}`);
    if (kind.namespaced && this.#can("list")) this.#add(`${base}/${kind.plural}`, this.#list("ForAllNamespaces"));
    this.#object(`${base}${scope}/${kind.plural}/{name}`);
    this.#watches(base, scope);
    for (const sub of Object.values(kind.subresources)) this.#subresource(`${base}${scope}/${kind.plural}/{name}/${sub.name}`, sub);
    return this.#paths;
  }

  #can(verb: Verb): boolean {
    return this.kind.verbs.includes(verb);
  }

  #add(path: string, ...operations: Operation[]): void {
    if (operations.length > 0) this.#paths[path] = [...(this.#paths[path] ?? []), ...operations];
  }

  #collection(path: string): void {
    const { kind } = this;
    if (this.#can("list")) this.#add(path, this.#list(""));
    if (this.#can("create")) {
      this.#add(path, this.#operation({ method: "post", verb: "create", action: "post", description: `create ${article(kind.kind)} ${kind.kind}`, definition: this.#definition, codes: [200, 201, 202], sets: ["create"], body: this.#definition }));
    }
    if (this.#can("deletecollection")) {
      this.#add(path, { ...this.#operation({ method: "delete", verb: "delete", action: "deletecollection", description: `delete collection of ${kind.kind}`, definition: `${META}.Status`, codes: [200], sets: ["deletecollection"] }), operationId: `delete${this.#prefix}Collection${this.#scoped()}${kind.kind}`, body: { definition: `${META}.DeleteOptions`, isRequired: false } });
    }
  }

  #object(path: string): void {
    const { kind } = this;
    const definition = this.#definition;
    if (this.#can("get")) this.#add(path, this.#operation({ method: "get", verb: "read", action: "get", description: `read the specified ${kind.kind}`, definition, codes: [200] }, "name"));
    if (this.#can("update")) this.#add(path, this.#operation({ method: "put", verb: "replace", action: "put", description: `replace the specified ${kind.kind}`, definition, codes: [200, 201], sets: ["create"], body: definition }, "name"));
    if (this.#can("delete")) {
      const reply = DELETED_IS_RETURNED.has(kind.kind) ? definition : `${META}.Status`;
      this.#add(path, { ...this.#operation({ method: "delete", verb: "delete", action: "delete", description: `delete ${article(kind.kind)} ${kind.kind}`, definition: reply, codes: [200, 202], sets: ["delete"] }, "name"), body: { definition: `${META}.DeleteOptions`, isRequired: false } });
    }
    if (this.#can("patch")) this.#add(path, this.#patch(`partially update the specified ${kind.kind}`, definition, {}));
  }

  #patch(description: string, definition: string, extra: { suffix?: string; gvk?: GroupVersionKind }): Operation {
    return this.#operation({ method: "patch", verb: "patch", action: "patch", description, definition, codes: [200, 201], sets: ["patch"], body: `${META}.Patch`, consumes: this.kind.isCustom ? CUSTOM_PATCHES : PATCHES, ...extra }, "name");
  }

  #list(suffix: string): Operation {
    const { kind } = this;
    const description = this.#can("watch") ? `list or watch objects of kind ${kind.kind}` : `list objects of kind ${kind.kind}`;
    const operation = this.#operation({ method: "get", verb: "list", action: "list", description, definition: `${this.#definition}List`, codes: [200], sets: ["list"], produces: STREAMS, suffix }, ...(suffix === "" ? [] : (["everywhere"] as const)));
    return suffix === "" ? operation : { ...operation, operationId: `list${this.#prefix}${kind.kind}${suffix}` };
  }

  #watches(base: string, scope: string): void {
    if (!this.#can("watch")) return;
    const { kind } = this;
    const use = "deprecated: use the 'watch' parameter with a list operation instead";
    const common = { method: "get", verb: "watch", definition: `${META}.WatchEvent`, codes: [200], sets: ["list"], produces: STREAMS };
    const list = { ...common, action: "watchlist", description: `watch individual changes to a list of ${kind.kind}. ${use}.`, suffix: "List" };
    this.#add(`${base}/watch${scope}/${kind.plural}`, this.#operation(list));
    if (kind.namespaced) this.#add(`${base}/watch/${kind.plural}`, { ...this.#operation(list, "everywhere"), operationId: `watch${this.#prefix}${kind.kind}ListForAllNamespaces` });
    if (this.#can("get")) this.#add(`${base}/watch${scope}/${kind.plural}/{name}`, this.#operation({ ...common, action: "watch", description: `watch changes to an object of kind ${kind.kind}. ${use}, filtered to a single item with the 'fieldSelector' parameter.` }, "name"));
  }

  #subresource(path: string, sub: KindInfo["subresources"][string]): void {
    const { kind } = this;
    const gvk = sub.gvk;
    if (gvk.kind.endsWith("Options")) return this.#connect(path, sub);
    const isLog = sub.name === "log";
    const definition = isLog ? "string" : definitionName(gvk);
    const common = { definition, suffix: capital(sub.name), gvk };
    if (sub.verbs.includes("get")) this.#add(path, this.#operation({ ...common, method: "get", verb: "read", action: "get", description: `read ${sub.name} of the specified ${kind.kind}`, codes: [200], ...(isLog && { sets: ["log"], produces: ["text/plain", ...OBJECTS] }) }, "name"));
    if (sub.verbs.includes("update")) this.#add(path, this.#operation({ ...common, method: "put", verb: "replace", action: "put", description: `replace ${sub.name} of the specified ${kind.kind}`, codes: [200, 201], sets: ["create"], body: definition }, "name"));
    if (sub.verbs.includes("patch")) this.#add(path, this.#patch(`partially update ${sub.name} of the specified ${kind.kind}`, definition, common));
    if (sub.verbs.includes("create")) this.#add(path, this.#operation({ ...common, method: "post", verb: "create", action: "post", description: `create ${sub.name} of ${article(kind.kind)} ${kind.kind}`, codes: [200, 201, 202], sets: ["create"], body: definition }, "name"));
  }

  #connect(path: string, sub: KindInfo["subresources"][string]): void {
    const { kind } = this;
    const isProxy = sub.name === "proxy";
    const methods = isProxy ? CONNECT_METHODS : ["get", "post"];
    for (const withPath of isProxy ? [false, true] : [false]) {
      const inPath: Parameter[] = withPath ? [{ name: "path", in: "path", type: "string", isRequired: true, description: "path to the resource" }] : [];
      const operations = methods.map((method): Operation => ({
        method, description: `connect ${method.toUpperCase()} requests to ${sub.name} of ${kind.kind}`,
        operationId: `connect${this.#prefix}${capital(method)}${this.#scoped()}${kind.kind}${capital(sub.name)}${withPath ? "WithPath" : ""}`,
        tags: [this.#tag], action: "connect", gvk: sub.gvk, consumes: ["*/*"], produces: ["*/*"], reply: { definition: "string", codes: [200] },
        parameters: [...this.#pathParameters(sub.gvk.kind, { named: true, everywhere: false }), ...inPath, ...this.#query(sub.gvk.kind)],
      }));
      this.#add(withPath ? `${path}/{path}` : path, ...operations);
    }
  }

  #operation(
    o: { method: string; verb: string; action: string; description: string; definition: string; codes: number[]; sets?: string[]; body?: string; consumes?: string[]; produces?: string[]; suffix?: string; gvk?: GroupVersionKind },
    ...at: readonly ("name" | "everywhere")[]
  ): Operation {
    const { kind } = this;
    const gvk = o.gvk ?? kind;
    return {
      method: o.method, description: o.description, operationId: `${o.verb}${this.#prefix}${this.#scoped()}${kind.kind}${o.suffix ?? ""}`, tags: [this.#tag], action: o.action,
      gvk: { group: gvk.group, version: gvk.version, kind: gvk.kind },
      parameters: [...this.#pathParameters(gvk.kind, { named: at.includes("name"), everywhere: at.includes("everywhere") }), ...this.#common("pretty"), ...(o.sets ?? []).flatMap((set) => this.#query(set))],
      ...(o.body && { body: { definition: o.body, isRequired: true } }), consumes: o.consumes ?? ["*/*"], produces: o.produces ?? OBJECTS, reply: { definition: o.definition, codes: o.codes },
    };
  }

  #pathParameters(nameOf: string, { named, everywhere }: { named: boolean; everywhere: boolean }): Parameter[] {
    const inNamespace = this.kind.namespaced && !everywhere;
    const namespace = (this.sets["common"] ?? []).filter(({ name }) => name === "namespace");
    return [
      ...(named ? [{ name: "name", in: "path" as const, type: "string", isRequired: true, description: `name of the ${nameOf}` }] : []),
      ...(inNamespace ? namespace.map((parameter) => ({ ...parameter, in: "path" as const, isRequired: true })) : []),
    ];
  }

  #common(wanted: string): Parameter[] {
    return (this.sets["common"] ?? []).filter(({ name }) => name === wanted).map((parameter) => ({ ...parameter, in: "query" }));
  }

  #query(set: string): Parameter[] {
    return (this.sets[set] ?? []).map((parameter) => ({ ...parameter, in: "query" }));
  }

  #scoped(): string {
    return this.kind.namespaced ? "Namespaced" : "";
  }
}

function capital(text: string): string {
  return (text[0]?.toUpperCase() ?? "") + text.slice(1);
}

function article(noun: string): string {
  return /^[AEIOU]/.test(noun) ? "an" : "a";
}

