// The node's own resolvers, from its resolv.conf.
// Pure.

const MAX_NAMESERVERS = 3;

/** Nameservers in order, without those in `exclude`: asking ourselves would never end. */
export function nameservers(text: string, exclude: readonly string[]): string[] {
  const found = text.split("\n").flatMap((line) => /^\s*nameserver\s+(\S+)/.exec(line)?.[1]?.replace(/%.*$/, "") ?? []);
  return [...new Set(found)].filter((address) => !exclude.includes(address)).slice(0, MAX_NAMESERVERS);
}
