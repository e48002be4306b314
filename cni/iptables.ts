// The packet filter as a plugin call wants it: in the backend the node's other rules live in.
import { createIptables, type Iptables } from "../net/host/iptables.ts";
import type { PluginCall } from "./types.ts";

/** iptables of one family for a call. */
export function iptablesOf({ exec, config }: PluginCall, family: 4 | 6 = 4): Iptables {
  return createIptables({ exec, family, variant: config.iptablesVariant });
}
