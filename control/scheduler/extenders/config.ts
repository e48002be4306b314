// `extenders` of a KubeSchedulerConfiguration: programs outside that have a say in where pods go.
// Fields and sentences: k8s.io/kube-scheduler/config/v1, k8s.io/kubernetes/pkg/scheduler/apis/config/validation.
import { readFileSync } from "node:fs";
import { field } from "../../../api/errors.ts";
import { allow, booleanOf, durationOf, fieldsListOf, fieldsOf, numberOf, stringOf, type Fields, type Problems } from "../configfields.ts";

/** One program, and what it is asked. */
export interface ExtenderConfig {
  readonly urlPrefix: string;
  readonly filterVerb: string;
  readonly prioritizeVerb: string;
  readonly preemptVerb: string;
  readonly bindVerb: string;
  readonly weight: number;
  readonly timeoutMs: number;
  /** It knows the nodes: their names do. */
  readonly nodeCacheCapable: boolean;
  /** Asked only about pods that want one of these; all pods when there are none. */
  readonly managedResources: readonly string[];
  /** Managed resources that are its business alone. */
  readonly ignoredResources: readonly string[];
  /** Pods are placed without it when it does not answer. */
  readonly isIgnorable: boolean;
  readonly tls: ExtenderTls;
}

export interface ExtenderTls {
  readonly rejectUnauthorized: boolean;
  readonly serverName?: string;
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

const DEFAULT_TIMEOUT_MS = 5_000;
const FIELDS = ["urlPrefix", "filterVerb", "preemptVerb", "prioritizeVerb", "weight", "bindVerb", "enableHTTPS", "tlsConfig", "httpTimeout", "nodeCacheCapable", "managedResources", "ignorable"];
const TLS_FIELDS = ["insecure", "serverName", "certFile", "keyFile", "caFile", "certData", "keyData", "caData"];
const RESOURCE_NAME = /^(?!requests\.)([a-z0-9]([-a-z0-9.]*[a-z0-9])?)\/[A-Za-z0-9]([-\w.]{0,61}[A-Za-z0-9])?$/;

/** Reads the list; values that cannot be meant are noted down. */
export function extendersOf(value: unknown, problems: Problems): ExtenderConfig[] {
  const seen = new Set<string>();
  const extenders = fieldsListOf(value, "extenders").map((fields, i) => extenderOf(fields, { path: `extenders[${i}]`, problems, seen }));
  const binders = extenders.filter(({ bindVerb }) => bindVerb !== "").length;
  if (binders > 1) problems.add(field.invalid("extenders", `found ${binders} extenders implementing bind`, "only one extender can implement bind"));
  return extenders;
}

function extenderOf(fields: Fields, source: { readonly path: string; readonly problems: Problems; readonly seen: Set<string> }): ExtenderConfig {
  const { path, problems } = source;
  allow(fields, path, FIELDS);
  const text = (name: string): string => stringOf(fields[name], `${path}.${name}`) ?? "";
  const flag = (name: string): boolean => booleanOf(fields[name], `${path}.${name}`) ?? false;
  const weight = numberOf(fields["weight"], `${path}.weight`) ?? 0;
  if (text("prioritizeVerb") !== "" && weight <= 0) problems.add(field.invalid(`${path}.weight`, weight, "must have a positive weight applied to it"));
  const managed = managedOf(fields, source);
  return {
    urlPrefix: text("urlPrefix").replace(/\/+$/, ""), filterVerb: text("filterVerb"), prioritizeVerb: text("prioritizeVerb"), preemptVerb: text("preemptVerb"), bindVerb: text("bindVerb"),
    weight, timeoutMs: durationOf(fields["httpTimeout"], `${path}.httpTimeout`) || DEFAULT_TIMEOUT_MS, nodeCacheCapable: flag("nodeCacheCapable"), isIgnorable: flag("ignorable"),
    managedResources: managed.map(({ name }) => name), ignoredResources: managed.filter(({ isIgnored }) => isIgnored).map(({ name }) => name),
    tls: tlsOf(fieldsOf(fields["tlsConfig"] ?? {}, `${path}.tlsConfig`), `${path}.tlsConfig`, flag("enableHTTPS")),
  };
}

function managedOf(fields: Fields, { path, problems, seen }: { readonly path: string; readonly problems: Problems; readonly seen: Set<string> }): { name: string; isIgnored: boolean }[] {
  return fieldsListOf(fields["managedResources"], `${path}.managedResources`).map((resource, i) => {
    const at = `${path}.managedResources[${i}]`;
    allow(resource, at, ["name", "ignoredByScheduler"]);
    const name = stringOf(resource["name"], `${at}.name`) ?? "";
    if (!RESOURCE_NAME.test(name) || /(^|\.)kubernetes\.io\//.test(name)) problems.add(field.invalid(`${at}.name`, name, "is an invalid extended resource name"));
    if (seen.has(name)) problems.add(field.invalid(`${at}.name`, name, "duplicate extender managed resource name"));
    seen.add(name);
    return { name, isIgnored: booleanOf(resource["ignoredByScheduler"], `${at}.ignoredByScheduler`) ?? false };
  });
}

/** Data wins over files; an HTTPS server nobody vouches for is believed, as upstream believes it. */
function tlsOf(fields: Fields, path: string, usesHttps: boolean): ExtenderTls {
  allow(fields, path, TLS_FIELDS);
  const pem = (name: string): string | undefined => {
    const data = stringOf(fields[`${name}Data`], `${path}.${name}Data`);
    if (data !== undefined) return Buffer.from(data, "base64").toString("utf8");
    const file = stringOf(fields[`${name}File`], `${path}.${name}File`);
    return file === undefined || file === "" ? undefined : readFileSync(file, "utf8");
  };
  const [ca, cert, key, serverName] = [pem("ca"), pem("cert"), pem("key"), stringOf(fields["serverName"], `${path}.serverName`)];
  const isInsecure = (booleanOf(fields["insecure"], `${path}.insecure`) ?? false) || (usesHttps && ca === undefined);
  return { rejectUnauthorized: !isInsecure, ...(serverName && { serverName }), ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) };
}
