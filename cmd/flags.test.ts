import { expect, test } from "bun:test";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { checks, parseFlags, UsageError, type Flag } from "./flags.ts";

const FLAGS: Flag[] = [
  { name: "port", value: "PORT", default: "6443", help: "", check: checks.port },
  { name: "runtime", value: "NAME", default: "auto", help: "", choices: ["auto", "docker"] },
  { name: "init", help: "" },
];

function configFile(text: string): string {
  const path = join(mkdtempSync(join(tmpdir(), "minik8s-flags-")), "config.yaml");
  writeFileSync(path, text);
  return path;
}

test("the command line beats the environment, which beats the file, which beats the default", () => {
  const config = configFile("port: 1\nruntime: docker\n");
  expect(parseFlags(FLAGS, [], {}).values).toEqual({ port: "6443", runtime: "auto" });
  expect(parseFlags(FLAGS, ["--config", config], {}).values["port"]).toBe("1");
  expect(parseFlags(FLAGS, ["--config", config], { MINIK8S_PORT: "2" }).values["port"]).toBe("2");
  expect(parseFlags(FLAGS, ["--config", config, "--port=3"], { MINIK8S_PORT: "2" }).values).toMatchObject({ port: "3", runtime: "docker" });
});

test("an unknown flag, a bad value, an unknown key and an unreadable file are each named with what would be right", () => {
  expect(() => parseFlags(FLAGS, ["--prot", "1"], {})).toThrow(new UsageError("unknown flag: --prot"));
  expect(() => parseFlags(FLAGS, ["--runtim", "auto"], {})).toThrow("unknown flag: --runtim (did you mean --runtime?)");
  expect(() => parseFlags(FLAGS, ["--port", "70000"], {})).toThrow("--port 70000: must be a port number between 1 and 65535");
  expect(() => parseFlags(FLAGS, ["--runtime", "rkt"], {})).toThrow("--runtime rkt: must be one of auto, docker");
  expect(() => parseFlags(FLAGS, ["--config", configFile("por: 1")], {})).toThrow(/unknown key por/);
  expect(() => parseFlags(FLAGS, ["--config", "/nowhere.yaml"], {})).toThrow(UsageError);
});

test("a switch is true or absent, and other words come back as positionals", () => {
  expect(parseFlags(FLAGS, ["create", "--init"], {})).toMatchObject({ values: { init: "true" }, positionals: ["create"] });
});

test("what follows -- is passed on unread, as install-service passes flags to the mode it installs", () => {
  expect(parseFlags(FLAGS, ["--port=3", "agent", "--", "--join", "https://10.0.0.5:6443"], {})).toEqual({ values: { port: "3", runtime: "auto" }, positionals: ["agent", "--join", "https://10.0.0.5:6443"] });
});
