import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CONFIG_FILE, NETWORK_NAME, podNetwork } from "../cni/config.ts";
import { FakeClock } from "../lib/clock.ts";
import { takeBackNetworks } from "./leakednetworks.ts";

let dataDir: string;
beforeEach(() => void (dataDir = mkdtempSync(join(tmpdir(), "m8-leaked-"))));
afterEach(() => rmSync(dataDir, { recursive: true, force: true }));

const address = (last: number): string => join(dataDir, NETWORK_NAME, `10.1.0.${last}`);

function reserve(last: number, containerId: string): void {
  mkdirSync(join(dataDir, NETWORK_NAME), { recursive: true });
  writeFileSync(address(last), `${containerId}\r\neth0`);
  utimesSync(address(last), 0, 0);
}

test("addresses of sandboxes missing twice are taken back with their ports; one that turns up in between keeps its own", async () => {
  const config = podNetwork({ podCidrs: ["10.1.0.0/24"], mtu: 1500, dataDir, variant: "nft" });
  writeFileSync(join(dataDir, CONFIG_FILE), JSON.stringify(config));
  reserve(2, "live");
  reserve(3, "in-the-making");
  reserve(4, "gone");
  const clock = new FakeClock(1_000_000);
  const stop = new AbortController();
  const ids = ["live"];
  const commands: string[] = [];
  const exec = async (command: readonly string[]): Promise<{ exitCode: number; stdout: string; stderr: string }> => {
    commands.push(command.join(" "));
    return { exitCode: 0, stdout: "", stderr: "" };
  };
  const running = takeBackNetworks({ runtime: { listSandboxes: async () => ids.map((id) => ({ id })) as never }, cniConfDir: dataDir, ipamDir: dataDir, exec, clock }, stop.signal);
  const settle = (): Promise<void> => Bun.sleep(20);
  await settle();
  expect([2, 3, 4].map((last) => existsSync(address(last)))).toEqual([true, true, true]);
  ids.push("in-the-making");
  clock.advance(60_000);
  await settle();
  expect([2, 3, 4].map((last) => existsSync(address(last)))).toEqual([true, true, false]);
  expect(commands.some((command) => command.includes("iptables"))).toBe(true);
  stop.abort();
  await running;
});
