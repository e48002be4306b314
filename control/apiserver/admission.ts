// Runs admission plugins over one write: mutating ones in order, later the validating side, and settling at the end.
import type { AnyObject } from "../../api/types.ts";
import type { AdmissionPlugin, Attributes, Operation } from "./admission/plugin.ts";
import type { Engine } from "./engine.ts";
import type { ResourceRequest } from "./request.ts";

/** The plugins that have something to say about one write. */
export interface Review {
  admit(): Promise<void>;
  validate(): Promise<void>;
  /** Must be called exactly once, whatever happened. */
  settle(stored: boolean): void;
}

/** Attributes as plugins see them. */
export function attributesOf(request: ResourceRequest, operation: Operation, objects: { object?: AnyObject | undefined; oldObject?: AnyObject | undefined; options?: AnyObject | undefined }): Attributes {
  return { ...request, operation, ...objects };
}

/** A review nobody takes part in. */
export const ADMITTED: Review = { admit: async () => {}, validate: async () => {}, settle: () => {} };

/** Picks the plugins that handle these attributes. */
export function review(engine: Engine, attributes: Attributes): Review {
  const plugins = engine.admission.filter((plugin) => plugin.handles(attributes));
  return plugins.length === 0 ? ADMITTED : reviewBy(plugins, attributes, engine);
}

/** The whole review of what is not stored itself; throws what refuses it. */
export async function admitWhole(engine: Engine, attributes: Attributes): Promise<void> {
  const admission = review(engine, attributes);
  let isAdmitted = false;
  try {
    await admission.admit();
    await admission.validate();
    isAdmitted = true;
  } finally {
    admission.settle(isAdmitted);
  }
}

function reviewBy(plugins: readonly AdmissionPlugin[], attributes: Attributes, { client }: Engine): Review {
  return {
    async admit() {
      for (const plugin of plugins) {
        const pending = plugin.admit?.(attributes, client);
        if (pending) await pending;
      }
    },
    async validate() {
      for (const plugin of plugins) {
        const pending = plugin.validate?.(attributes, client);
        if (pending) await pending;
      }
    },
    settle(stored) {
      for (const plugin of plugins) plugin.settle?.(attributes, stored);
    },
  };
}
