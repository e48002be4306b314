// VolumeAttachments: a wish to have a volume on a node, and how far it is granted.
import { field, type FieldError } from "../../../../api/errors.ts";
import type { VolumeAttachment } from "../../../../api/types.ts";
import { define } from "../define.ts";
import { ageColumn, boolean, nameColumn, printer, text } from "../print/columns.ts";
import { check, dnsSubdomain } from "../validation/names.ts";
import { checkImmutable } from "../validation/values.ts";
import { checkDriverName, sizeOf } from "./rules.ts";

type Spec = NonNullable<VolumeAttachment["spec"]>;
const MAX_METADATA = 256 * 1024;
const MAX_MESSAGE = 1024;
const ONE_SOURCE = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";

export const volumeAttachmentStrategy = define<VolumeAttachment>({
  group: "storage.k8s.io", kind: "VolumeAttachment",
  hasGeneration: false,
  allowUnconditionalUpdate: false,
  validate: ({ spec }) => specErrors(spec),
  validateUpdate({ spec }, { spec: old }) {
    const errors: FieldError[] = [];
    checkImmutable(errors, "spec", spec, old);
    return errors;
  },
  subresources: { status: { validateUpdate: ({ status }) => statusErrors(status) } },
  printer: printer(
    nameColumn(),
    { ...text<VolumeAttachment>("Attacher", ({ spec }) => spec?.attacher ?? "", "Who attaches it."), format: "name" },
    text("PV", ({ spec }) => spec?.source?.persistentVolumeName ?? "", "The volume."),
    text("Node", ({ spec }) => spec?.nodeName ?? "", "The node."),
    boolean("Attached", ({ status }) => status?.attached ?? false, "Whether it is there."),
    ageColumn(),
  ),
});

function specErrors(spec: Spec | undefined): FieldError[] {
  const errors: FieldError[] = [];
  checkDriverName(errors, "spec.attacher", spec?.attacher);
  const { inlineVolumeSpec: inline, persistentVolumeName: name } = spec?.source ?? {};
  if (inline === undefined && name === undefined) errors.push(field.required("spec.source", ONE_SOURCE));
  else if (inline !== undefined && name !== undefined) errors.push(field.forbidden("spec.source", ONE_SOURCE));
  else if (name === "") errors.push(field.required("spec.source.persistentVolumeName", "must specify non empty persistentVolumeName"));
  check(errors, "spec.nodeName", spec?.nodeName ?? "", dnsSubdomain);
  if (name !== undefined) check(errors, "spec.source.persistentVolumeName", name, dnsSubdomain);
  return errors;
}

function statusErrors(status: VolumeAttachment["status"]): FieldError[] {
  const errors: FieldError[] = [];
  if (sizeOf(status?.attachmentMetadata) > MAX_METADATA) errors.push(field.tooLong("status.attachmentMetadata", MAX_METADATA));
  for (const name of ["attachError", "detachError"] as const) {
    const { message = "", errorCode } = status?.[name] ?? {};
    if (message.length > MAX_MESSAGE) errors.push(field.tooLong(`status.${name}.message`, MAX_METADATA));
    if (errorCode !== undefined && errorCode < 0) errors.push(field.invalid(`status.${name}.errorCode`, errorCode, "must be between 0 and 2147483647, inclusive"));
  }
  return errors;
}
