// Names of the proxy's chains, the same as upstream's for the same Service, so that known tools and eyes find them.
// Pure.
import { createHash } from "node:crypto";

const BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const HASH_LENGTH = 16;

/** `namespace/name:port`, or `namespace/name` for an unnamed port. */
export function servicePortName(namespace: string, name: string, port: string): string {
  return port ? `${namespace}/${name}:${port}` : `${namespace}/${name}`;
}

/** The chains of one service port: cluster policy, local policy, external entry, source-range firewall. */
export function serviceChains(portName: string, protocol: string): { cluster: string; local: string; external: string; firewall: string } {
  const hash = hashOf(portName + protocol);
  return { cluster: `KUBE-SVC-${hash}`, local: `KUBE-SVL-${hash}`, external: `KUBE-EXT-${hash}`, firewall: `KUBE-FW-${hash}` };
}

/** The chain of one endpoint (`ip:port`) of a service port. */
export function endpointChain(portName: string, protocol: string, endpoint: string): string {
  return `KUBE-SEP-${hashOf(portName + protocol + endpoint)}`;
}

/** Whether a chain belongs to some service, and so may be removed once no service wants it. */
export function isServiceChain(chain: string): boolean {
  return /^KUBE-(SVC|SVL|SEP|FW|EXT)-/.test(chain);
}

function hashOf(text: string): string {
  const bytes = createHash("sha256").update(text).digest();
  let name = "";
  for (let bit = 0; name.length < HASH_LENGTH; bit += 5) {
    const pair = ((bytes[bit >> 3] as number) << 8) | (bytes[(bit >> 3) + 1] as number);
    name += BASE32[(pair >> (11 - (bit & 7))) & 31];
  }
  return name;
}
