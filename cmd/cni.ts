// The executable as a CNI plugin.
import { cniMain } from "../cni/main.ts";

/** Answers one CNI call; the exit code is the specification's. */
export function runPlugin(plugin: string): Promise<number> {
  return cniMain(plugin);
}
