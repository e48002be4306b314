// DELETE of a collection: the selected objects are deleted one by one, as a single delete each would.
import { isNotFound } from "../../../api/errors.ts";
import type { DeleteOptions } from "../../../api/types.ts";
import type { Engine } from "../engine.ts";
import type { ResourceRequest } from "../request.ts";
import { deleteObject } from "./delete.ts";
import { list, type ListRequest, type ListResult } from "./read.ts";

const AT_ONCE = 32;

/** Deletes what is selected now; answers what was selected. Objects that vanish meanwhile are fine. */
export async function deleteCollection(engine: Engine, request: ResourceRequest, selected: ListRequest, options: DeleteOptions): Promise<ListResult> {
  const found = await list(engine, request, selected);
  for (let start = 0; start < found.entries.length; start += AT_ONCE) {
    const group = found.entries.slice(start, start + AT_ONCE);
    await Promise.all(group.map(async ({ namespace, name }) => {
      try {
        await deleteObject(engine, { ...request, verb: "delete", namespace, name }, options);
      } catch (error) {
        if (!isNotFound(error)) throw error;
      }
    }));
  }
  return found;
}
