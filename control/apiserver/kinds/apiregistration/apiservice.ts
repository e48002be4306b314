// APIServices: who answers for a group-version, this server or a service in the cluster.
import { field, type FieldError } from "../../../../api/errors.ts";
import type { APIService } from "../../../../api/types.ts";
import { define } from "../define.ts";
import { ageColumn, nameColumn, printer, text } from "../print/columns.ts";
import { check, dns1035Label, dnsSubdomain, pathSegment, portNumber } from "../validation/names.ts";

type Spec = NonNullable<APIService["spec"]>;
const MAX_GROUP_PRIORITY = 20_000;
const MAX_VERSION_PRIORITY = 1000;
const STATUSES = ["True", "False", "Unknown"];

export const apiServiceStrategy = define<APIService>({
  group: "apiregistration.k8s.io", kind: "APIService",
  hasGeneration: false,
  allowUnconditionalUpdate: false,
  prepareForCreate(service, { now }) {
    if (service.spec?.service) return;
    service.status = { conditions: [{ type: "Available", status: "True", lastTransitionTime: now, reason: "Local", message: "Local APIServices are always available" }] };
  },
  validateName: pathSegment,
  validate({ metadata, spec }) {
    if (!spec) return [field.required("spec")];
    const errors: FieldError[] = [];
    const name = `${spec.version ?? ""}.${spec.group ?? ""}`;
    if (metadata.name !== name) errors.push(field.invalid("metadata.name", metadata.name, `must be \`spec.version+"."+spec.group\`: ${JSON.stringify(name)}`));
    checkSpec(errors, spec);
    if (spec.service) checkService(errors, spec, spec.service);
    else checkLocal(errors, spec);
    return errors;
  },
  subresources: {
    status: {
      prepareForUpdate({ metadata }, { metadata: old }) {
        for (const name of ["labels", "annotations", "finalizers", "ownerReferences"] as const) Object.assign(metadata, { [name]: old[name] });
      },
      validateUpdate: ({ status }) => (status?.conditions ?? []).flatMap(({ status: state }, index) => (STATUSES.includes(state) ? [] : [field.notSupported(`status.conditions[${index}].status`, state, STATUSES)])),
    },
  },
  printer: printer(
    nameColumn(),
    text("Service", ({ spec }) => (spec?.service ? `${spec.service.namespace}/${spec.service.name}` : "Local"), "The reference to the service that hosts this API endpoint."),
    text("Available", availableText, "Whether this service is available."),
    ageColumn(),
  ),
});

function availableText({ status }: APIService): string {
  const condition = status?.conditions?.find(({ type }) => type === "Available");
  if (!condition) return "Unknown";
  return condition.status !== "True" && condition.reason ? `${condition.status} (${condition.reason})` : condition.status;
}

function checkSpec(errors: FieldError[], { group = "", version = "", groupPriorityMinimum: priority = 0, versionPriority = 0 }: Spec): void {
  if (group === "" && version !== "v1") errors.push(field.required("spec.group", "only v1 may have an empty group and it better be legacy kube"));
  if (group !== "") check(errors, "spec.group", group, dnsSubdomain);
  check(errors, "spec.version", version, dns1035Label);
  if (priority <= 0 || priority > MAX_GROUP_PRIORITY) errors.push(field.invalid("spec.groupPriorityMinimum", priority, "must be positive and less than 20000"));
  if (versionPriority <= 0 || versionPriority > MAX_VERSION_PRIORITY) errors.push(field.invalid("spec.versionPriority", versionPriority, "must be positive and less than 1000"));
}

function checkLocal(errors: FieldError[], { caBundle = "", insecureSkipTLSVerify }: Spec): void {
  if (caBundle !== "") errors.push(field.invalid("spec.caBundle", `${Buffer.from(caBundle, "base64").length} bytes`, "local APIServices may not have a caBundle"));
  if (insecureSkipTLSVerify) errors.push(field.invalid("spec.insecureSkipTLSVerify", true, "local APIServices may not have insecureSkipTLSVerify"));
}

function checkService(errors: FieldError[], { caBundle = "", insecureSkipTLSVerify }: Spec, service: NonNullable<Spec["service"]>): void {
  for (const name of ["namespace", "name"] as const) if (!service[name]) errors.push(field.required(`spec.service.${name}`));
  const sentences = portNumber(service.port ?? 443);
  if (sentences.length > 0) errors.push(field.invalid("spec.service.port", service.port, `port is not valid: ${sentences.join(", ")}`));
  if (insecureSkipTLSVerify && caBundle !== "") errors.push(field.invalid("spec.insecureSkipTLSVerify", true, "may not be true if caBundle is present"));
}
