// An address of this machine's own, on a link that leads nowhere: packets for it never leave the node.
// How every node answers for cluster DNS itself.
import type { Exec } from "../../lib/exec.ts";
import { ipBatch, ipDelete, showLink } from "./ip.ts";

/** Makes sure a link of this name is up and holds the address; safe to repeat. The link is a bridge without ports: pods need bridges anyway, while dummy links are missing from some kernels. */
export async function holdAddress(exec: Exec, link: string, address: string): Promise<void> {
  const existing = await showLink(exec, link);
  if (existing?.addr_info?.some((own) => own.local === address) && existing.flags.includes("UP")) return;
  await ipBatch(exec, [
    ...(existing ? [] : [`link add name ${link} type bridge`]),
    `address replace ${address}/${address.includes(":") ? 128 : 32} dev ${link}`,
    `link set dev ${link} up`,
  ]);
}

/** Removes the link and its address; absence is success. */
export async function releaseAddress(exec: Exec, link: string): Promise<void> {
  await ipDelete(exec, ["link", "delete", "dev", link]);
}
