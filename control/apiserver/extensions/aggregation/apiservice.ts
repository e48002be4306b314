// APIServices as objects: which group-versions there are, and who serves them.
// Rules and wording: k8s.io/kube-aggregator/pkg/apis/apiregistration.
import { field, type FieldError } from "../../../../api/errors.ts";
import type { KindInfo } from "../../../../api/kinds.ts";
import { builtinKind } from "../../../../api/registry.ts";
import type { AnyObject, KubeObject } from "../../../../api/types.ts";
import { define } from "../../kinds/define.ts";
import { ageColumn, nameColumn, printer, text } from "../../kinds/print/columns.ts";
import type { Strategy } from "../../kinds/strategy.ts";
import { dnsSubdomainErrors, pathSegmentErrors } from "../../names.ts";
import type { Condition } from "../crd/schema.ts";

export const API_SERVICE = builtinKind("apiregistration.k8s.io", "v1", "APIService");

export interface ApiServiceSpec {
  readonly group?: string;
  readonly version: string;
  /** Left out: served here. */
  readonly service?: { readonly namespace: string; readonly name: string; readonly port?: number };
  readonly insecureSkipTLSVerify?: boolean;
  /** Base64 of PEM. */
  readonly caBundle?: string;
  readonly groupPriorityMinimum: number;
  readonly versionPriority: number;
}

export interface ApiService extends KubeObject {
  spec: ApiServiceSpec;
  status?: { readonly conditions?: readonly Condition[] };
}

export function apiServiceOf(object: AnyObject): ApiService {
  return object as unknown as ApiService;
}

/** The condition that says whether requests can be served. */
export function availability({ status }: ApiService): Condition | undefined {
  return status?.conditions?.find(({ type }) => type === "Available");
}

const strategy = define<ApiService>({
  group: API_SERVICE.group, kind: API_SERVICE.kind, validateName: pathSegmentErrors,
  applyDefaults: ({ spec }) => {
    if (spec?.service) (spec.service as { port?: number }).port ??= 443;
  },
  prepareForCreate: (service) => {
    service.status = spec(service).service ? {} : { conditions: [local("")] };
  },
  validate: errorsOf,
  printer: printer(
    nameColumn<ApiService>(),
    text("Service", ({ spec: { service } }: ApiService) => (service ? `${service.namespace}/${service.name}` : "Local")),
    text("Available", (service: ApiService) => {
      const found = availability(service);
      return !found ? "Unknown" : found.status === "True" ? "True" : `${found.status} (${found.reason})`;
    }),
    ageColumn(),
  ),
  keepsStatusOnCreate: true,
});

/** The strategy of APIServices. */
export function apiServiceStrategy({ group, kind }: KindInfo): Strategy | undefined {
  return group === API_SERVICE.group && kind === API_SERVICE.kind ? strategy : undefined;
}

/** What is always true of what is served here. */
export function local(now: string): Condition {
  return { type: "Available", status: "True", reason: "Local", message: "Local APIServices are always available", ...(now !== "" && { lastTransitionTime: now }) };
}

const spec = (service: ApiService): ApiServiceSpec => service.spec ?? ({} as ApiServiceSpec);

function errorsOf(service: ApiService): FieldError[] {
  const { group = "", version = "", service: reference, insecureSkipTLSVerify, caBundle, groupPriorityMinimum = 0, versionPriority = 0 } = spec(service);
  const errors: FieldError[] = [];
  const required = `${version}.${group}`;
  if (service.metadata.name !== required && service.metadata.name) errors.push(field.invalid("metadata.name", service.metadata.name, `must be \`spec.version+"."+spec.group\`: ${JSON.stringify(required)}`));
  if (group !== "" && dnsSubdomainErrors(group).length > 0) errors.push(field.invalid("spec.group", group, dnsSubdomainErrors(group).join(",")));
  if (version === "") errors.push(field.required("spec.version"));
  if (groupPriorityMinimum <= 0 || groupPriorityMinimum > 20_000) errors.push(field.invalid("spec.groupPriorityMinimum", groupPriorityMinimum, "must be positive and less than 20000"));
  if (versionPriority <= 0 || versionPriority > 1_000) errors.push(field.invalid("spec.versionPriority", versionPriority, "must be positive and less than 1000"));
  if (!reference) {
    if (caBundle) errors.push(field.invalid("spec.caBundle", `${caBundle.length} bytes`, "local APIServices may not have a caBundle"));
    if (insecureSkipTLSVerify) errors.push(field.invalid("spec.insecureSkipTLSVerify", true, "local APIServices may not have insecureSkipTLSVerify"));
    return errors;
  }
  if (!reference.namespace) errors.push(field.required("spec.service.namespace"));
  if (!reference.name) errors.push(field.required("spec.service.name"));
  if (insecureSkipTLSVerify && caBundle) errors.push(field.invalid("spec.insecureSkipTLSVerify", true, "may not be true if caBundle is present"));
  return errors;
}
