// An object names each of its owners once: what stands there twice is taken out, and the client is told.
import type { AnyObject } from "../../../api/types.ts";
import { equalJson } from "../json.ts";
import type { ResourceRequest } from "../request.ts";

/** Takes repeated owner references out of an object, with a warning to whoever asks. */
export function dedupOwnerReferences({ warnings }: ResourceRequest, { metadata }: AnyObject, isAdmitted: boolean): void {
  const { ownerReferences } = metadata;
  if (!ownerReferences || ownerReferences.length < 2) return;
  const kept = ownerReferences.filter((reference, index) => !ownerReferences.slice(0, index).some((before) => equalJson(before, reference)));
  if (kept.length === ownerReferences.length) return;
  const repeated = ownerReferences.filter((reference) => !kept.includes(reference)).map(({ uid }) => uid);
  metadata.ownerReferences = kept;
  warnings.push(`.metadata.ownerReferences contains duplicate entries${isAdmitted ? " after mutating admission happens" : ""}; API server dedups owner references in 1.20+, and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: ${repeated.join(", ")}`);
}
