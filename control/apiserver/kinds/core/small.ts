// Core kinds with little to say: service accounts, leases, pod templates, bindings, component statuses.
import { field, type FieldError } from "../../../../api/errors.ts";
import type { AnyObject, ComponentStatus, Lease, PodTemplate, ServiceAccount } from "../../../../api/types.ts";
import { define } from "../define.ts";
import { defaultPodSpec } from "../pod/spec-defaults.ts";
import { checkPodTemplate } from "../pod/validate/template.ts";
import { ageColumn, nameColumn, printer, text } from "../print/columns.ts";
import { containerColumns, formatLabels } from "../print/format.ts";
import { checkPositive } from "../validation/values.ts";

export const serviceAccountStrategy = define<ServiceAccount>({
  group: "", kind: "ServiceAccount",
  printer: printer(nameColumn(), ageColumn()),
});

export const leaseStrategy = define<Lease>({
  group: "coordination.k8s.io", kind: "Lease",
  validate({ spec }) {
    const errors: FieldError[] = [];
    checkPositive(errors, "spec.leaseDurationSeconds", spec?.leaseDurationSeconds);
    if ((spec?.leaseTransitions ?? 0) < 0) errors.push(field.invalid("spec.leaseTransitions", spec?.leaseTransitions, "must be greater than or equal to 0"));
    return errors;
  },
  allowCreateOnUpdate: true,
  allowUnconditionalUpdate: false,
  printer: printer(nameColumn(), text("Holder", ({ spec }) => spec?.holderIdentity ?? "", "Who holds the lease."), ageColumn()),
});

export const podTemplateStrategy = define<PodTemplate>({
  group: "", kind: "PodTemplate",
  applyDefaults: ({ template }) => defaultPodSpec(template?.spec),
  validate({ template }) {
    const errors: FieldError[] = [];
    checkPodTemplate(errors, "template", template ?? {});
    return errors;
  },
  hasGeneration: true,
  printer: printer(
    nameColumn(),
    ...containerColumns<PodTemplate>(({ template }) => template).map((column) => ({ ...column, priority: 0 })),
    text("Pod Labels", ({ template }) => formatLabels(template?.metadata?.labels), "The labels for the pod template."),
  ),
});

export const bindingStrategy = define<AnyObject>({
  group: "", kind: "Binding",
  validate(binding) {
    const { kind = "", name = "" } = (binding["target"] ?? {}) as { kind?: string; name?: string };
    const errors: FieldError[] = [];
    if (kind !== "" && kind !== "Node") errors.push(field.notSupported("target.kind", kind, ["Node", "<empty>"]));
    if (name === "") errors.push(field.required("target.name"));
    return errors;
  },
});

export const componentStatusStrategy = define<ComponentStatus>({
  group: "", kind: "ComponentStatus", deprecation: "v1 ComponentStatus is deprecated in v1.19+",
  printer: printer(
    nameColumn(),
    text("Status", (object) => ({ True: "Healthy", "": "Unknown" })[health(object)?.status ?? ""] ?? "Unhealthy", "Status of the component conditions"),
    text("Message", (object) => health(object)?.message ?? "", "Message of the component conditions"),
    text("Error", (object) => health(object)?.error ?? "", "Error of the component conditions"),
  ),
});

function health({ conditions }: ComponentStatus): { status: string; message?: string | undefined; error?: string | undefined } | undefined {
  return conditions?.find(({ type }) => type === "Healthy");
}
