// What an admission plugin is: a look at a write before it is stored, after authorization.
// Mutating plugins run first, in order, then validation, then the validating side of every plugin.
import type { AnyObject } from "../../../api/types.ts";
import type { Client } from "../../../api/client/client.ts";
import type { ResourceRequest } from "../request.ts";

export type Operation = "CREATE" | "UPDATE" | "DELETE" | "CONNECT";

/** One write under admission. `object` is absent for deletes, `oldObject` for creates. */
export interface Attributes extends ResourceRequest {
  readonly operation: Operation;
  readonly object?: AnyObject | undefined;
  readonly oldObject?: AnyObject | undefined;
  readonly options?: AnyObject | undefined;
}

/** What writes have in common that come through one door. */
export type Door = Pick<Attributes, "kind" | "operation" | "subresource">;

/** One plugin, under upstream's name. Throws `ApiError` (usually `forbidden`) to refuse. */
export interface AdmissionPlugin {
  readonly name: string;
  /** Whether any write through this door is its business; asked once and remembered. All are when left out. */
  concerns?(door: Door): boolean;
  /** Whether this one is, of those that concern it; all are when left out. */
  handles?(attributes: Attributes): boolean;
  /** May change `attributes.object` in place. */
  admit?(attributes: Attributes, client: Client): Promise<void> | void;
  validate?(attributes: Attributes, client: Client): Promise<void> | void;
  /** Called once after the write is stored or has failed, for plugins that reserve (quota). */
  settle?(attributes: Attributes, stored: boolean): void;
}
