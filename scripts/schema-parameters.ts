// Reads the query parameters of the API's requests, with their descriptions, from the published client's request types.
// Part of the schema build product; which request takes which set is decided in `api/schema/openapi`.
import { readFileSync } from "node:fs";
import type { ParameterData } from "../api/schema/data.ts";

/** One published request type for every set of parameters there is. */
const REQUESTS: Readonly<Record<string, string>> = {
  list: "CoreV1ApiListNamespacedConfigMap", create: "CoreV1ApiCreateNamespacedConfigMap", patch: "CoreV1ApiPatchNamespacedConfigMap", delete: "CoreV1ApiDeleteNamespacedConfigMap",
  deletecollection: "CoreV1ApiDeleteCollectionNamespacedConfigMap", log: "CoreV1ApiReadNamespacedPodLog", PodAttachOptions: "CoreV1ApiConnectGetNamespacedPodAttach",
  PodExecOptions: "CoreV1ApiConnectGetNamespacedPodExec", PodPortForwardOptions: "CoreV1ApiConnectGetNamespacedPodPortforward", PodProxyOptions: "CoreV1ApiConnectGetNamespacedPodProxy",
  ServiceProxyOptions: "CoreV1ApiConnectGetNamespacedServiceProxy", NodeProxyOptions: "CoreV1ApiConnectGetNodeProxy",
};
/** These stand in the path, the body, or everywhere. */
const NOT_QUERY = new Set(["name", "namespace", "pretty", "body"]);
const ENTITIES: Readonly<Record<string, string>> = { "&#39;": "'", "&quot;": '"', "&#x60;": "`", "&#x3D;": "=", "&lt;": "<", "&gt;": ">", "&amp;": "&" };

/** The parameters of every set; `common` has those of every request. */
export function readParameters(typesFile: string): Record<string, ParameterData[]> {
  const source = readFileSync(typesFile, "utf8");
  const sets: Record<string, ParameterData[]> = {};
  for (const [set, request] of Object.entries(REQUESTS)) sets[set] = parametersOf(source, request).filter(({ name }) => !NOT_QUERY.has(name));
  sets["common"] = parametersOf(source, REQUESTS["list"] as string).filter(({ name }) => name === "pretty" || name === "namespace");
  return sets;
}

function parametersOf(source: string, request: string): ParameterData[] {
  const start = source.indexOf(`export interface ${request}Request {`);
  if (start < 0) throw new Error(`the client has no request ${request}`);
  const body = source.slice(start, source.indexOf("\n}", start));
  return [...body.matchAll(/\/\*\*\n\s*\* (.*)\n(?:\s*\*.*\n)*?\s*\* @type (\w+)\n(?:\s*\*.*\n)*?\s*\*\/\n\s*(\w+)\??:/g)].map(([, text, type, name]) => ({
    name: (name as string).replace(/^_/, ""), type: type === "number" ? "integer" : (type as string), description: plain(text as string),
  }));
}

function plain(text: string): string {
  return withLines(text.replace(/\\?(&#?\w+;)/g, (found, entity: string) => ENTITIES[entity] ?? found).replace(/\\(['"\\`])/g, "$1"));
}

/** The client's generator turns every line break into a space, so runs of spaces tell where breaks and indents were. */
function withLines(text: string): string {
  const breaks: Readonly<Record<number, string>> = { 2: "\n\n", 3: "\n  ", 4: "\n\n  ", 5: "\n    " };
  return text.replace(/ {2,5}(?!will be sent|This will make|If the kubelet is configured)(?=\S)/g, (spaces) => breaks[spaces.length] as string).replace(/(?<=processed\.) (?=- )/, "\n");
}
