// Runs admission plugins over one write: mutating ones in order, later the validating side, and settling at the end.
import type { AnyObject } from "../../api/types.ts";
import type { KindInfo } from "../../api/kinds.ts";
import type { AdmissionPlugin, Attributes, Door, Operation } from "./admission/plugin.ts";
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
export function attributesOf(request: ResourceRequest, operation: Operation, objects: { name?: string; object?: AnyObject | undefined; oldObject?: AnyObject | undefined; options?: AnyObject | undefined }): Attributes {
  return { ...request, operation, ...objects };
}

/** A review nobody takes part in. */
export const ADMITTED: Review = { admit: async () => {}, validate: async () => {}, settle: () => {} };

/** Picks the plugins that handle these attributes. */
export function review(engine: Engine, attributes: Attributes): Review {
  const plugins = concerned(engine, attributes).filter((plugin) => plugin.handles?.(attributes) ?? true);
  return plugins.length === 0 ? ADMITTED : reviewBy(plugins, attributes, engine);
}

const byKind = new WeakMap<Engine["admission"], WeakMap<KindInfo, Map<string, readonly AdmissionPlugin[]>>>();

/** The plugins that may have something to say about writes through this door. */
function concerned({ admission }: Engine, { kind, operation, subresource }: Door): readonly AdmissionPlugin[] {
  let kinds = byKind.get(admission);
  if (!kinds) byKind.set(admission, (kinds = new WeakMap()));
  let doors = kinds.get(kind);
  if (!doors) kinds.set(kind, (doors = new Map()));
  const key = subresource === "" ? operation : `${operation} ${subresource}`;
  let plugins = doors.get(key);
  if (!plugins) doors.set(key, (plugins = admission.filter((plugin) => plugin.concerns?.({ kind, operation, subresource }) ?? true)));
  return plugins;
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
