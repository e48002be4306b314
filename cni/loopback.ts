// The loopback plugin: brings `lo` up in a network namespace.
// Passes an earlier plugin's result on unchanged.
import { ipBatch, isAbsent, showLink } from "../net/host/ip.ts";
import { CODE, CniError, type Plugin } from "./types.ts";

/** The loopback plugin; always works on `lo`, whatever name is asked for. */
export const loopback: Plugin = {
  async add({ config, exec, netns }) {
    await ipBatch(exec, ["link set dev lo up"], { netns });
    if (config.prevResult) return config.prevResult;
    return { interfaces: [{ name: "lo", mac: "00:00:00:00:00:00", sandbox: netns }], ips: [{ address: "127.0.0.1/8", interface: 0 }], routes: [], dns: {} };
  },
  async del({ exec, netns }) {
    if (!netns) return;
    await ipBatch(exec, ["link set dev lo down"], { netns }).catch((error: unknown) => {
      if (!isAbsent(error) && !/cannot open|No such file/.test(String(error))) throw error;
    });
  },
  async check({ exec, netns }) {
    const link = await showLink(exec, "lo", { netns });
    if (!link?.flags.includes("UP")) throw new CniError(CODE.internal, `loopback interface in ${netns} is down`);
  },
  async gc() {},
  async status() {},
};
