// Namespaces: they end only when their finalizers have emptied them.
import { field, type FieldError } from "../../../../api/errors.ts";
import type { Namespace } from "../../../../api/types.ts";
import { define } from "../define.ts";
import { ageColumn, nameColumn, printer, text } from "../print/columns.ts";
import { dnsLabel, forPrefix, qualifiedName } from "../validation/names.ts";

const NAME_LABEL = "kubernetes.io/metadata.name";
const KUBERNETES = "kubernetes";
const STANDARD = [KUBERNETES, "orphan", "foregroundDeletion"];

export const namespaceStrategy = define<Namespace>({
  group: "", kind: "Namespace",
  applyDefaults: labelName,
  prepareForCreate(namespace) {
    labelName(namespace);
    namespace.status = { phase: "Active" };
    namespace.spec ??= {};
    const { finalizers = [] } = namespace.spec;
    if (!finalizers.includes(KUBERNETES)) namespace.spec.finalizers = [...finalizers, KUBERNETES];
  },
  prepareForUpdate(namespace, old) {
    namespace.spec = { ...namespace.spec };
    if (old.spec?.finalizers) namespace.spec.finalizers = old.spec.finalizers;
    else delete namespace.spec.finalizers;
  },
  validateName: forPrefix(dnsLabel),
  validate: ({ spec }) => finalizerErrors(spec?.finalizers, () => "spec.finalizers"),
  validateUpdate: () => [],
  subresources: {
    status: { validateUpdate: phaseErrors },
    finalize: {
      prepareForUpdate(namespace, old) {
        if (old.status) namespace.status = old.status;
        else delete namespace.status;
      },
      validateUpdate: ({ spec }) => finalizerErrors(spec?.finalizers, (index) => `spec.finalizers[${index}]`),
    },
  },
  hasGeneration: false,
  selectableFields: ({ status, metadata }) => ({ "status.phase": status?.phase ?? "", name: metadata.name ?? "" }),
  printer: printer(nameColumn(), text("Status", ({ status }) => status?.phase ?? "", "The status of the namespace"), ageColumn()),
});

function labelName({ metadata }: Namespace): void {
  if (metadata.name) metadata.labels = { ...metadata.labels, [NAME_LABEL]: metadata.name };
}

function finalizerErrors(finalizers: readonly string[] | undefined, path: (index: number) => string): FieldError[] {
  return (finalizers ?? []).flatMap((name, index) => {
    const errors = qualifiedName(name).map((sentence) => field.invalid(path(index), name, sentence));
    const isForeign = !name.includes("/") && !STANDARD.includes(name);
    return isForeign ? [...errors, field.invalid(path(index), name, "name is neither a standard finalizer name nor is it fully qualified")] : errors;
  });
}

function phaseErrors({ metadata, status }: Namespace): FieldError[] {
  const wanted = metadata.deletionTimestamp ? "Terminating" : "Active";
  if (status?.phase === wanted) return [];
  const when = metadata.deletionTimestamp ? "is not empty" : "is empty";
  return [field.invalid("status.Phase", status?.phase ?? "", `may only be '${wanted}' if \`deletionTimestamp\` ${when}`)];
}
