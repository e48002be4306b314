// AdmissionReviews: what a webhook is told of a write, and what its answer means.
// Wording: k8s.io/apiserver/pkg/admission/plugin/webhook.
import { ApiError, type StatusDetails } from "../../../../api/errors.ts";
import type { KindInfo } from "../../../../api/kinds.ts";
import type { AnyObject } from "../../../../api/types.ts";
import type { Attributes } from "../../admission/plugin.ts";

/** An answer that could be understood. */
export interface Answer {
  readonly allowed: boolean;
  readonly status: Readonly<Record<string, unknown>> | undefined;
  readonly warnings: readonly string[];
  /** What it wants noted in the audit log. */
  readonly auditAnnotations: Readonly<Record<string, string>>;
  /** A JSON patch, parsed. */
  readonly patch: unknown;
}

/** The review of one write in the form of one version; undefined when the webhook speaks no version known here. */
export function reviewOf(attributes: Attributes, { versions, as, uid }: { versions: readonly string[]; as: KindInfo; uid: string }): AnyObject | undefined {
  const version = versions.find((one) => one === "v1" || one === "v1beta1");
  if (version === undefined) return undefined;
  const { user, operation, kind, subresource, name, namespace, object, oldObject, options, dryRun } = attributes;
  const bodyKind = kindOf(attributes, as);
  return {
    kind: "AdmissionReview", apiVersion: `admission.k8s.io/${version}`,
    request: {
      uid, kind: bodyKind, resource: { group: as.group, version: as.version, resource: as.plural }, ...(subresource !== "" && { subResource: subresource }),
      requestKind: kindOf(attributes, kind), requestResource: { group: kind.group, version: kind.version, resource: kind.plural }, ...(subresource !== "" && { requestSubResource: subresource }),
      ...(nameOf(name, object) !== "" && { name: nameOf(name, object) }), ...(namespace !== "" && { namespace }), operation,
      userInfo: { username: user.name, ...(user.uid && { uid: user.uid }), ...(user.groups.length > 0 && { groups: user.groups }), ...(user.extra && { extra: user.extra }) },
      object: inVersion(object, as, kind) ?? null, oldObject: inVersion(oldObject, as, kind) ?? null, dryRun, options: options ?? defaultOptions(operation, attributes),
    },
  } as unknown as AnyObject;
}

function nameOf(name: string, object: AnyObject | undefined): string {
  return name || object?.metadata?.name || "";
}

function kindOf({ subresource, kind }: Attributes, as: KindInfo): { group: string; version: string; kind: string } {
  const { group, version, kind: name } = kind.subresources[subresource]?.gvk ?? as;
  return { group, version, kind: name };
}

function inVersion(object: AnyObject | undefined, as: KindInfo, kind: KindInfo): AnyObject | undefined {
  return object && as !== kind ? { ...object, apiVersion: as.group === "" ? as.version : `${as.group}/${as.version}` } : object;
}

const OPTIONS: Readonly<Record<string, string>> = { CREATE: "CreateOptions", UPDATE: "UpdateOptions", DELETE: "DeleteOptions" };

function defaultOptions(operation: string, { fieldManager, dryRun, verb }: Attributes): unknown {
  const kind = verb === "patch" ? "PatchOptions" : OPTIONS[operation];
  return kind ? { kind, apiVersion: "meta.k8s.io/v1", ...(dryRun && { dryRun: ["All"] }), ...(fieldManager && operation !== "DELETE" && { fieldManager }) } : null;
}

/** Reads an answer; throws with what is wrong with it. */
export function answerOf(reply: unknown, { uid, apiVersion, mutates }: { uid: string; apiVersion: string; mutates: boolean }): Answer {
  const { kind, apiVersion: found, response } = (reply ?? {}) as { kind?: string; apiVersion?: string; response?: Record<string, unknown> };
  if (!response) throw new Error("webhook response was absent");
  if (apiVersion === "admission.k8s.io/v1") {
    if (response["uid"] !== uid) throw new Error(`expected response.uid=${JSON.stringify(uid)}, got ${JSON.stringify(response["uid"] ?? "")}`);
    if (kind !== "AdmissionReview" || found !== apiVersion) throw new Error(`expected webhook response of ${apiVersion}, Kind=AdmissionReview, got ${found ?? ""}, Kind=${kind ?? ""}`);
    requirePatchType(response, mutates);
  }
  const { patch } = response as { patch?: string };
  return {
    allowed: response["allowed"] === true, status: response["status"] as Answer["status"], warnings: (response["warnings"] as string[] | undefined) ?? [],
    auditAnnotations: (response["auditAnnotations"] as Record<string, string> | undefined) ?? {},
    patch: patch ? decodePatch(patch) : undefined,
  };
}

function requirePatchType(response: Readonly<Record<string, unknown>>, mutates: boolean): void {
  const [patch, type] = [response["patch"], response["patchType"]];
  if (!mutates && patch) throw new Error("validating webhook may not return response.patch");
  if (!mutates && type !== undefined && type !== null) throw new Error("validating webhook may not return response.patchType");
  if (patch && (type === undefined || type === null)) throw new Error("webhook returned response.patch but not response.patchType");
  if (!patch && type !== undefined && type !== null) throw new Error("webhook returned response.patchType but not response.patch");
  if (patch && type !== "JSONPatch") throw new Error(`unsupported patch type ${JSON.stringify(type)}`);
}

function decodePatch(text: string): unknown {
  try {
    return JSON.parse(Buffer.from(text, "base64").toString());
  } catch (error) {
    throw new Error(`received undecodable patch in webhook response: ${(error as Error).message}`, { cause: error });
  }
}

/** The refusal a client sees. */
export function denied(webhook: string, status: Answer["status"]): ApiError {
  const { code = 0, message = "", reason = "", details } = (status ?? {}) as { code?: number; message?: string; reason?: string; details?: StatusDetails };
  const by = `admission webhook ${JSON.stringify(webhook)} denied the request`;
  return new ApiError(code >= 400 ? code : 400, reason, message ? `${by}: ${message}` : reason ? `${by}: ${reason}` : `${by} without explanation`, details);
}
