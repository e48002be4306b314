// Which container runtime a node uses, by its flags or as its agent last chose.
// Commands beside the agent, such as `image load`, must reach the same one without being told again.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Values } from "./flags.ts";

export interface RuntimeChoice {
  readonly kind: "auto" | "containerd" | "docker";
  readonly endpoint?: string;
}

const recordOf = (dataDir: string): string => join(dataDir, "run", "runtime.json");

export function runtimeChoice(values: Values): RuntimeChoice {
  const endpoint = values["runtime-endpoint"];
  return { kind: values["runtime"] as RuntimeChoice["kind"], ...(endpoint !== undefined && { endpoint }) };
}

export function rememberRuntime(dataDir: string, choice: RuntimeChoice): void {
  mkdirSync(join(dataDir, "run"), { recursive: true });
  writeFileSync(recordOf(dataDir), JSON.stringify(choice));
}

/** The flags where they say anything, else what the node's agent uses. */
export function nodesRuntime(dataDir: string, values: Values): RuntimeChoice {
  const said = runtimeChoice(values);
  if (said.kind !== "auto" || said.endpoint !== undefined || !existsSync(recordOf(dataDir))) return said;
  return JSON.parse(readFileSync(recordOf(dataDir), "utf8")) as RuntimeChoice;
}
