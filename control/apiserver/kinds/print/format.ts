// Cells that several kinds share: containers, labels, access modes, shortened lists.
import type { PodTemplateSpec } from "../../../../api/types.ts";
import { text, wide, type ColumnOf } from "./columns.ts";

/** `a=b,c=d` in key order, `<none>` when empty. */
export function formatLabels(labels: Readonly<Record<string, string>> | undefined): string {
  const keys = Object.keys(labels ?? {}).sort();
  return keys.length === 0 ? "<none>" : keys.map((key) => `${key}=${labels?.[key]}`).join(",");
}

/** The wide columns naming a template's containers and their images. */
export function containerColumns<T>(template: (object: T) => PodTemplateSpec | undefined): ColumnOf<T>[] {
  const containers = (object: T): readonly { name: string; image?: string | undefined }[] => template(object)?.spec?.containers ?? [];
  return [
    wide(text("Containers", (object) => containers(object).map(({ name }) => name).join(","), "Names of each container in the template.")),
    wide(text("Images", (object) => containers(object).map(({ image }) => image ?? "").join(","), "Images referenced by each container in the template.")),
  ];
}

const MODE_TEXT: Readonly<Record<string, string>> = { ReadWriteOnce: "RWO", ReadOnlyMany: "ROX", ReadWriteMany: "RWX", ReadWriteOncePod: "RWOP" };

/** `RWO,ROX`: each access mode once, in upstream's order. */
export function formatAccessModes(modes: readonly string[] | undefined): string {
  return Object.keys(MODE_TEXT).filter((mode) => modes?.includes(mode)).map((mode) => MODE_TEXT[mode]).join(",");
}

/** At most `max` entries, and how many more there are. */
export function firstOf(list: readonly string[], max: number): string {
  const shown = list.slice(0, max).join(",");
  return list.length > max ? `${shown} + ${list.length - max} more...` : shown;
}
