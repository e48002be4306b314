// A runtime whose calls are counted and timed; otherwise the one it was made of.
import type { Clock } from "../../lib/clock.ts";
import type { ImageService, PodRuntime, Runtime, SandboxConfig, Streaming } from "../runtime/runtime.ts";
import type { Figures } from "./figures.ts";

/** Upstream's words for the operations. */
const PODS: Partial<Record<keyof PodRuntime, string>> = {
  runSandbox: "run_podsandbox", stopSandbox: "stop_podsandbox", removeSandbox: "remove_podsandbox", listSandboxes: "list_podsandbox", sandboxStatus: "podsandbox_status",
  createContainer: "create_container", startContainer: "start_container", stopContainer: "stop_container", removeContainer: "remove_container", listContainers: "list_containers", containerStatus: "container_status",
  updateResources: "update_container_resources", reopenLog: "reopen_container_log", stats: "list_container_stats",
};
const IMAGES: Partial<Record<keyof ImageService, string>> = { pull: "pull_image", status: "image_status", list: "list_images", remove: "remove_image", usage: "image_fs_info" };
const STREAMING: Partial<Record<keyof Streaming, string>> = { execSync: "exec_sync", exec: "exec", attach: "attach", portForward: "port_forward" };

export function countedRuntime(runtime: Runtime, figures: Figures, clock: Clock): Runtime {
  const pods = counted(runtime.pods, PODS, { figures, clock });
  const runSandbox = async (config: SandboxConfig): Promise<string> => {
    const begin = clock.now();
    const labels = { runtime_handler: config.runtimeHandler };
    try {
      return await pods.runSandbox(config);
    } catch (error) {
      figures.count("kubelet_run_podsandbox_errors_total", labels);
      throw error;
    } finally {
      figures.observe("kubelet_run_podsandbox_duration_seconds", (clock.now() - begin) / 1000, labels);
    }
  };
  return {
    name: runtime.name,
    pods: Object.assign(Object.create(pods) as PodRuntime, { runSandbox }),
    images: counted(runtime.images, IMAGES, { figures, clock }),
    streaming: counted(runtime.streaming, STREAMING, { figures, clock }),
    status: () => runtime.status(),
    close: () => runtime.close(),
  };
}

type Call = (...args: readonly unknown[]) => Promise<unknown>;

/** The same methods; those that have a word are counted and timed. */
function counted<T extends object>(target: T, words: Partial<Record<keyof T, string>>, { figures, clock }: { readonly figures: Figures; readonly clock: Clock }): T {
  return new Proxy(target, {
    get(_, key) {
      const method = target[key as keyof T];
      if (typeof method !== "function") return method;
      const call = method.bind(target) as Call;
      const operation_type = words[key as keyof T];
      if (operation_type === undefined) return call;
      return async (...args: readonly unknown[]) => {
        const begin = clock.now();
        figures.count("kubelet_runtime_operations_total", { operation_type });
        try {
          return await call(...args);
        } catch (error) {
          figures.count("kubelet_runtime_operations_errors_total", { operation_type });
          throw error;
        } finally {
          figures.observe("kubelet_runtime_operations_duration_seconds", (clock.now() - begin) / 1000, { operation_type });
        }
      };
    },
  });
}
