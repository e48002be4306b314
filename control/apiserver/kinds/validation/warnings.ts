// Warnings upstream sends along with a create that it accepts.
import type { KubeObject } from "../../../../api/types.ts";
import type { StrategyContext } from "../strategy.ts";
import { dnsLabel } from "./names.ts";

/** A workload's name ends up in the host names of its pods, where dots surprise. */
export function warnOfDottedName({ metadata }: KubeObject, context: StrategyContext, use = "Pod names and hostnames"): void {
  const sentences = dnsLabel(metadata.name ?? "");
  if (metadata.name && sentences.length > 0) context.warn(`metadata.name: this is used in ${use}, which can result in surprising behavior; a DNS label is recommended: [${sentences.join(" ")}]`);
}
