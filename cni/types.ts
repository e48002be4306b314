// The Container Network Interface's own words: configuration, results, errors.
// Shapes follow the CNI specification 1.1.0; older versions are translated in `version.ts`.
import type { Exec } from "../lib/exec.ts";

export interface Interface {
  readonly name: string;
  readonly mac?: string;
  readonly mtu?: number;
  /** The network namespace's path, or absent on the host side. */
  readonly sandbox?: string;
}

export interface IpConfig {
  /** Address and prefix, `10.244.1.7/24`. */
  readonly address: string;
  readonly gateway?: string;
  /** Position in `interfaces`. */
  readonly interface?: number;
}

export interface RouteConfig {
  readonly dst: string;
  readonly gw?: string;
}

export interface DnsConfig {
  readonly nameservers?: readonly string[];
  readonly domain?: string;
  readonly search?: readonly string[];
  readonly options?: readonly string[];
}

/** What ADD answers and the next plugin gets as `prevResult`. */
export interface CniResult {
  readonly interfaces: readonly Interface[];
  readonly ips: readonly IpConfig[];
  readonly routes: readonly RouteConfig[];
  readonly dns: DnsConfig;
}

export interface PortMap {
  readonly hostPort: number;
  readonly containerPort: number;
  readonly protocol?: string;
  readonly hostIP?: string;
}

export interface IpamRange {
  readonly subnet: string;
  readonly rangeStart?: string;
  readonly rangeEnd?: string;
  readonly gateway?: string;
}

export interface IpamConfig {
  readonly type?: string;
  readonly ranges?: readonly (readonly IpamRange[])[];
  /** The short form of a single range. */
  readonly subnet?: string;
  readonly rangeStart?: string;
  readonly rangeEnd?: string;
  readonly gateway?: string;
  readonly routes?: readonly RouteConfig[];
  readonly dataDir?: string;
}

/** One plugin's configuration; fields of the plugins served here, all others are ignored. */
export interface NetConf {
  readonly cniVersion: string;
  readonly name: string;
  readonly type: string;
  readonly ipam?: IpamConfig;
  readonly prevResult?: CniResult;
  readonly runtimeConfig?: { readonly portMappings?: readonly PortMap[] };
  readonly capabilities?: Readonly<Record<string, boolean>>;
  readonly "cni.dev/valid-attachments"?: readonly { readonly containerID: string; readonly ifname: string }[];
  readonly bridge?: string;
  readonly isGateway?: boolean;
  readonly isDefaultGateway?: boolean;
  readonly ipMasq?: boolean;
  readonly hairpinMode?: boolean;
  readonly mtu?: number;
  readonly snat?: boolean;
  /** Which iptables backend the node's rules live in; left out, whatever `iptables` is. */
  readonly iptablesVariant?: "legacy" | "nft";
}

/** One invocation; where GC and STATUS have no container, its fields are empty. */
export interface PluginCall {
  readonly config: NetConf;
  readonly containerId: string;
  /** Empty when the runtime no longer knows the namespace. */
  readonly netns: string;
  readonly ifName: string;
  readonly args: Readonly<Record<string, string>>;
  readonly exec: Exec;
}

/** A CNI plugin. `del` succeeds when there is nothing to delete; everything rejects with CniError. */
export interface Plugin {
  add(call: PluginCall): Promise<CniResult>;
  del(call: PluginCall): Promise<void>;
  check(call: PluginCall): Promise<void>;
  gc(call: PluginCall): Promise<void>;
  status(call: PluginCall): Promise<void>;
}

/** Codes of the specification; 100 and above are the plugins' own. */
export const CODE = {
  incompatibleVersion: 1, unsupportedField: 2, unknownContainer: 3, invalidEnvironment: 4, ioFailure: 5,
  decodingFailure: 6, invalidConfig: 7, tryAgainLater: 11, notAvailable: 50, internal: 999,
} as const;

/** A failure as the specification reports it: a code for the runtime, a sentence for people. */
export class CniError extends Error {
  override readonly name = "CniError";
  constructor(readonly code: number, message: string, readonly details = "", options?: ErrorOptions) {
    super(message, options);
  }
}
