// CertificateSigningRequests: who asks is recorded by the server, approval and signing have doors of their own.
import { field, invalid, type FieldError } from "../../../../api/errors.ts";
import type { CertificateSigningRequest } from "../../../../api/types.ts";
import { readRequest } from "../../../pki/certificates.ts";
import { define } from "../define.ts";
import { keepIdentity } from "../pod/identity.ts";
import { ageColumn, nameColumn, printer, text } from "../print/columns.ts";
import { humanDuration } from "../print/duration.ts";
import type { StrategyContext } from "../strategy.ts";
import { check, dnsLabel, dnsSubdomain } from "../validation/names.ts";
import { isEqual } from "../validation/values.ts";
import { describeDifference } from "../validation/diff.ts";

type Request = CertificateSigningRequest;
type Condition = NonNullable<NonNullable<Request["status"]>["conditions"]>[number];
const GROUP = "certificates.k8s.io";
const MIN_SECONDS = 600;
const DECISIONS = ["Approved", "Denied"];
const USAGES = [
  "any", "cert sign", "client auth", "code signing", "content commitment", "crl sign", "data encipherment", "decipher only", "digital signature", "email protection", "encipher only", "ipsec end system",
  "ipsec tunnel", "ipsec user", "key agreement", "key encipherment", "microsoft sgc", "netscape sgc", "ocsp signing", "s/mime", "server auth", "signing", "timestamping",
];

export const certificateSigningRequestStrategy = define<Request>({
  group: GROUP, kind: "CertificateSigningRequest",
  async prepareForCreate(request, { user }) {
    await requireReadable(request);
    const { username: _name, uid: _uid, groups: _groups, extra: _extra, ...spec } = request.spec;
    request.spec = { ...spec, username: user.name, ...(user.uid && { uid: user.uid }), groups: [...user.groups], ...(user.extra && { extra: Object.fromEntries(Object.entries(user.extra).map(([key, values]) => [key, [...values]])) }) };
    request.status = {};
  },
  prepareForUpdate(request, old) {
    request.spec = old.spec;
  },
  validateName: () => [],
  validate: ({ spec }) => specErrors(spec),
  validateUpdate: (request, old) => updateErrors(request, old, {}),
  subresources: {
    status: {
      prepareForUpdate(request, old, context) {
        keepDecisions(request, old);
        stamp(request, old, context);
      },
      validateUpdate: (request, old) => updateErrors(request, old, { mayIssue: true }),
    },
    approval: {
      prepareForUpdate(request, old, context) {
        request.spec = old.spec;
        const { conditions: _before, ...kept } = old.status ?? {};
        const conditions = request.status?.conditions;
        request.status = { ...kept, ...(conditions && { conditions }) };
        keepIdentity(request, old, ["ownerReferences"]);
        stamp(request, old, context);
      },
      validateUpdate: (request, old) => updateErrors(request, old, { mayDecide: true }),
    },
  },
  hasGeneration: false,
  selectableFields: ({ spec }) => ({ "spec.signerName": spec?.signerName ?? "" }),
  printer: printer(
    nameColumn(),
    ageColumn(),
    text("SignerName", ({ spec }) => spec.signerName || "<none>", "Who is asked to sign."),
    text("Requestor", ({ spec }) => spec.username ?? "", "Who asks."),
    text("RequestedDuration", ({ spec }) => (spec.expirationSeconds === undefined ? "<none>" : humanDuration(spec.expirationSeconds * 1000)), "For how long."),
    text("Condition", condition, "What became of it."),
  ),
});

function condition({ status }: Request): string {
  const types = (status?.conditions ?? []).map(({ type }) => type);
  const decision = types.includes("Denied") ? "Denied" : types.includes("Approved") ? "Approved" : "Pending";
  return `${decision}${types.includes("Failed") ? ",Failed" : ""}${status?.certificate ? ",Issued" : ""}`;
}

/** Checking the signature takes its time, which validation proper does not have. */
async function requireReadable({ metadata, spec }: Request): Promise<void> {
  const pem = Buffer.from(spec?.request ?? "", "base64").toString();
  const refuse = (why: string): never => {
    throw invalid({ group: GROUP, kind: "CertificateSigningRequest" }, metadata.name ?? "", [field.invalid("spec.request", spec?.request, why)]);
  };
  if (!pem.includes("-----BEGIN CERTIFICATE REQUEST-----")) return refuse("PEM block type must be CERTIFICATE REQUEST");
  await readRequest(pem).catch((error: unknown) => refuse((error as Error).message));
}

function specErrors({ usages = [], signerName = "", expirationSeconds }: Request["spec"]): FieldError[] {
  const errors: FieldError[] = [];
  if (usages.length === 0) errors.push(field.required("spec.usages"));
  for (const [index, usage] of usages.entries()) {
    if (!USAGES.includes(usage)) errors.push(field.notSupported(`spec.usages[${index}]`, usage, USAGES));
    if (usages.indexOf(usage) < index) errors.push(field.duplicate(`spec.usages[${index}]`, usage));
  }
  if (signerName === "kubernetes.io/legacy-unknown") errors.push(field.invalid("spec.signerName", signerName, "the legacy signerName is not allowed via this API version"));
  else checkSignerName(errors, "spec.signerName", signerName);
  if (expirationSeconds !== undefined && expirationSeconds < MIN_SECONDS) errors.push(field.invalid("spec.expirationSeconds", expirationSeconds, "may not specify a duration less than 600 seconds (10 minutes)"));
  return errors;
}

/** `example.com/name`. */
export function checkSignerName(errors: FieldError[], path: string, name: string): void {
  if (name === "") return void errors.push(field.required(path));
  const [domain = "", rest, ...more] = name.split("/");
  if (rest === undefined || more.length > 0) return void errors.push(field.invalid(path, name, "must be a fully qualified domain and path of the form 'example.com/signer-name'"));
  const labels = domain.split(".");
  const bad = labels.find((label) => dnsLabel(label).length > 0);
  if (bad !== undefined) for (const sentence of dnsLabel(bad)) errors.push(field.invalid(path, domain, `validating label ${JSON.stringify(bad)}: ${sentence}`));
  if (labels.length < 2) errors.push(field.invalid(path, domain, "should be a domain with at least two segments separated by dots"));
  check(errors, path, rest, dnsSubdomain);
}

interface Rights {
  readonly mayIssue?: boolean;
  readonly mayDecide?: boolean;
}

function updateErrors({ status }: Request, { status: old }: Request, { mayIssue = false, mayDecide = false }: Rights): FieldError[] {
  const errors = conditionErrors(status?.conditions ?? []);
  const path = "status.conditions";
  for (const type of [...DECISIONS, "Failed"]) {
    const [now, before] = [ofType(status?.conditions, type), ofType(old?.conditions, type)];
    if (now.length < before.length) errors.push(field.forbidden(path, `updates may not remove a condition of type ${JSON.stringify(type)}`));
    else if (!mayDecide && DECISIONS.includes(type)) {
      if (now.length > before.length) errors.push(field.forbidden(path, `updates may not add a condition of type ${JSON.stringify(type)}`));
      else if (!isEqual(now, before)) errors.push(field.forbidden(path, `updates may not modify a condition of type ${JSON.stringify(type)}\n${describeDifference(before, now)}`));
    }
  }
  if ((status?.certificate ?? "") === (old?.certificate ?? "")) return errors;
  if (!mayIssue) errors.push(field.forbidden("status.certificate", "updates may not set certificate content"));
  else if (old?.certificate) errors.push(field.forbidden("status.certificate", "updates may not modify existing certificate content"));
  else if (!Buffer.from(status?.certificate ?? "", "base64").toString().includes("-----BEGIN CERTIFICATE-----")) errors.push(field.invalid("status.certificate", "<certificate data>", "must contain at least one CERTIFICATE PEM block"));
  return errors;
}

function ofType(conditions: readonly Condition[] | undefined, type: string): Condition[] {
  return (conditions ?? []).filter((candidate) => candidate.type === type);
}

function conditionErrors(conditions: readonly Condition[]): FieldError[] {
  const errors: FieldError[] = [];
  const types = conditions.map(({ type }) => type);
  for (const [index, { type, status }] of conditions.entries()) {
    const path = `status.conditions[${index}]`;
    const allowed = [...DECISIONS, "Failed"].includes(type) ? ["True"] : ["False", "True", "Unknown"];
    if (!type) errors.push(field.required(`${path}.type`));
    if (!status) errors.push(field.required(`${path}.status`));
    else if (!allowed.includes(status)) errors.push(field.notSupported(`${path}.status`, status, allowed));
    if (types.indexOf(type) < index) errors.push(field.duplicate(`${path}.type`, type));
  }
  const decided = types.filter((type) => DECISIONS.includes(type));
  if (new Set(decided).size > 1) errors.push(field.invalid("status.conditions", decided[1], "Approved and Denied conditions are mutually exclusive"));
  return errors;
}

function keepDecisions(request: Request, old: Request): void {
  for (const type of DECISIONS) {
    const before = (old.status?.conditions ?? []).filter((candidate) => candidate.type === type);
    const now = (request.status?.conditions ?? []).filter((candidate) => candidate.type === type);
    if (before.length !== now.length || !request.status?.conditions) continue;
    request.status.conditions = request.status.conditions.map((candidate) => (candidate.type === type ? { ...(before.shift() as Condition) } : candidate));
  }
}

function stamp(request: Request, old: Request, { now }: StrategyContext): void {
  if (!request.status?.conditions) return;
  request.status.conditions = request.status.conditions.map((candidate) => {
    const before = old.status?.conditions?.find(({ type, status }) => type === candidate.type && status === candidate.status);
    return { ...candidate, lastUpdateTime: candidate.lastUpdateTime ?? now, lastTransitionTime: candidate.lastTransitionTime ?? before?.lastTransitionTime ?? now };
  });
}
