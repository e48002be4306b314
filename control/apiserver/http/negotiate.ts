// Content negotiation: in which form a reply goes out, and which form a body came in.
// Protobuf is read but not written: a client that prefers it but takes JSON gets JSON, one that insists is told what is accepted.
import { notAcceptable, unsupportedMediaType } from "../../../api/errors.ts";
import type { Request } from "./exchange.ts";
import { isTrue, type Query } from "./target.ts";

/** How a reply is written. */
export interface Output {
  readonly format: "json" | "yaml";
  /** A transformation asked for with `as=`; undefined for the object itself. */
  readonly as: "Table" | "PartialObjectMetadata" | "PartialObjectMetadataList" | undefined;
  /** Version of `meta.k8s.io` for the transformation. */
  readonly version: string;
  readonly pretty: boolean;
}

const JSON_OUTPUT: Output = { format: "json", as: undefined, version: "v1", pretty: false };
const ACCEPTED = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];
const TRANSFORMS = new Set(["Table", "PartialObjectMetadata", "PartialObjectMetadataList"]);
const MAX_REMEMBERED = 256;
const remembered = new Map<string, Output>();

/** Reads an Accept header; throws 406 when nothing in it can be served. What is not an object has no Table and no metadata. */
export function outputOf(accept: string | undefined, isObject = true): Output {
  if (!accept || accept === "*/*" || accept === "application/json") return JSON_OUTPUT;
  if (!isObject) return negotiate(accept, false);
  const known = remembered.get(accept);
  if (known) return known;
  const output = negotiate(accept, true);
  if (remembered.size < MAX_REMEMBERED) remembered.set(accept, output);
  return output;
}

interface MediaRange {
  readonly type: string;
  readonly parameters: Readonly<Record<string, string>>;
  readonly quality: number;
}

/** The media ranges of an Accept header, most wanted first. */
export function mediaRanges(accept: string): MediaRange[] {
  const ranges = accept.split(",").map((part) => {
    const [type = "", ...rest] = part.trim().split(";").map((piece) => piece.trim());
    const parameters = Object.fromEntries(rest.map((pair) => [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)]));
    return { type: type.toLowerCase(), parameters, quality: Number(parameters["q"] ?? 1) };
  });
  return ranges.sort((a, b) => b.quality - a.quality);
}

function negotiate(accept: string, canTransform: boolean): Output {
  for (const { type, parameters } of mediaRanges(accept)) {
    const format = formatOf(type);
    if (!format) continue;
    const as = parameters["as"];
    if (as === undefined) return { ...JSON_OUTPUT, format, pretty: parameters["pretty"] === "1" };
    const version = parameters["v"] ?? "v1";
    if (!canTransform || parameters["g"] !== "meta.k8s.io" || (version !== "v1" && version !== "v1beta1") || !TRANSFORMS.has(as)) continue;
    return { format, as: as as NonNullable<Output["as"]>, version, pretty: false };
  }
  throw notAcceptable(`only the following media types are accepted: ${ACCEPTED.join(", ")}`);
}

function formatOf(type: string): Output["format"] | undefined {
  if (type === "*/*" || type === "application/*" || type === "application/json") return "json";
  return type === "application/yaml" ? "yaml" : undefined;
}

/** Whether JSON is to be indented: when the URL says so, and for tools in front of which people sit, as upstream does. */
export function isPretty({ "user-agent": agent = "" }: Request["headers"], query: Query): boolean {
  const wanted = query.get("pretty");
  if (wanted) return isTrue(wanted);
  return agent.startsWith("curl") || agent.startsWith("Wget") || agent.startsWith("Mozilla/5.0");
}

export type Input = "json" | "yaml" | "protobuf";

/** The form of a request body; throws 415 for one that is not read. */
export function inputOf(contentType: string | undefined): Input {
  const type = mediaTypeOf(contentType);
  if (type === "" || type === "*/*" || type === "application/json") return "json";
  if (type === "application/yaml") return "yaml";
  if (type === "application/vnd.kubernetes.protobuf") return "protobuf";
  throw unsupportedMediaType(`the body of the request was in an unknown format - accepted media types include: ${ACCEPTED.join(", ")}`);
}

/** The media type without its parameters. */
export function mediaTypeOf(contentType: string | undefined): string {
  return (contentType ?? "").split(";")[0]?.trim().toLowerCase() ?? "";
}
