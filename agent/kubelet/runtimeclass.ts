// What the runtime can do for a pod: the handler its RuntimeClass names, and that handler's features.
import type { Informer } from "../../api/client/informer.ts";
import type { Pod, RuntimeClass } from "../../api/types.ts";
import type { Runtime } from "../runtime/runtime.ts";

type Handler = Awaited<ReturnType<Runtime["status"]>>["handlers"][number];

export class RuntimeClasses {
  #handlers: readonly Handler[] = [];

  constructor(readonly runtime: Runtime, readonly classes: Informer<RuntimeClass>) {}

  /** Asks the runtime what its handlers can do; until then they can do nothing special. */
  async load(): Promise<void> {
    this.#handlers = (await this.runtime.status()).handlers;
  }

  /** The handler's name, empty for the default; throws in upstream's words for a class that does not exist. */
  handlerOf(pod: Pod): string {
    const name = pod.spec?.runtimeClassName;
    if (!name) return "";
    const found = this.classes.lister.get(name);
    if (!found) throw new Error(`failed to get RuntimeClass "${name}": runtimeclass.node.k8s.io "${name}" not found`);
    return found.handler;
  }

  featuresOf(pod: Pod): Handler | undefined {
    try {
      const name = this.handlerOf(pod);
      return this.#handlers.find((handler) => handler.name === name);
    } catch {
      return undefined;
    }
  }
}
