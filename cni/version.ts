// Translation between CNI specification versions, in and out.
// Inside, only the 1.0 shape of a result exists.
import { CODE, CniError, type CniResult, type NetConf, type PortMap } from "./types.ts";

export const SUPPORTED_VERSIONS = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] as const;
const LATEST = "1.1.0";

/** Reads a plugin's configuration from stdin; throws CniError for what is not one. */
export function parseConfig(stdin: string): NetConf {
  let config: NetConf;
  try {
    config = JSON.parse(stdin) as NetConf;
  } catch (error) {
    throw new CniError(CODE.decodingFailure, "failed to decode network configuration", (error as Error).message, { cause: error });
  }
  if (typeof config !== "object" || config === null) throw new CniError(CODE.decodingFailure, "network configuration is not an object");
  const previous = config.prevResult;
  const portMappings = config.runtimeConfig?.portMappings?.map(portMapping);
  return { ...config, cniVersion: config.cniVersion ?? "0.1.0", ...(portMappings && { runtimeConfig: { portMappings } }), ...(previous && { prevResult: { interfaces: previous.interfaces ?? [], ips: previous.ips ?? [], routes: previous.routes ?? [], dns: previous.dns ?? {} } }) };
}

/** containerd spells these fields `HostPort`; readers written in Go do not notice. */
function portMapping(entry: object): PortMap {
  const fields = new Map(Object.entries(entry).map(([key, value]) => [key.toLowerCase(), value as unknown]));
  const [hostPort, containerPort] = [fields.get("hostport"), fields.get("containerport")];
  if (typeof hostPort !== "number" || typeof containerPort !== "number") throw new CniError(CODE.invalidConfig, "port mapping without hostPort or containerPort", JSON.stringify(entry));
  const text = (key: string): string => String(fields.get(key) ?? "");
  return { hostPort, containerPort, ...(text("protocol") && { protocol: text("protocol") }), ...(text("hostip") && { hostIP: text("hostip") }) };
}

/** Throws the specification's code 1 for a version not spoken here. */
export function requireVersion(cniVersion: string): void {
  if ((SUPPORTED_VERSIONS as readonly string[]).includes(cniVersion)) return;
  throw new CniError(CODE.incompatibleVersion, "incompatible CNI versions", `config is "${cniVersion}", plugin supports ${JSON.stringify(SUPPORTED_VERSIONS)}`);
}

/** A result as JSON for a version's readers. */
export function encodeResult(result: CniResult, cniVersion: string): string {
  const older = cniVersion.startsWith("0.");
  const ips = result.ips.map((ip) => (older ? { version: ip.address.includes(":") ? "6" : "4", ...ip } : ip));
  return JSON.stringify({ cniVersion, ...result, ips });
}

/** The answer to VERSION. */
export function encodeVersions(): string {
  return JSON.stringify({ cniVersion: LATEST, supportedVersions: SUPPORTED_VERSIONS });
}

/** An error as JSON for the runtime. */
export function encodeError(error: CniError, cniVersion: string): string {
  return JSON.stringify({ cniVersion, code: error.code, msg: error.message, ...(error.details && { details: error.details }) });
}
