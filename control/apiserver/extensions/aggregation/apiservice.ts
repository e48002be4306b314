// APIServices as objects: which group-versions there are, and who serves them.
// Rules and wording: k8s.io/kube-aggregator/pkg/apis/apiregistration.
import { builtinKind } from "../../../../api/registry.ts";
import type { AnyObject, KubeObject } from "../../../../api/types.ts";
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

/** What is always true of what is served here. */
export function local(now: string): Condition {
  return { type: "Available", status: "True", reason: "Local", message: "Local APIServices are always available", ...(now !== "" && { lastTransitionTime: now }) };
}
