// The built control plane by itself, with the real kubectl: who did what is recorded, and it ends in order.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TEST_TIMEOUT_MS } from "../lib/testing.ts";
import { BINARY, eventually, Kubectl } from "./support.ts";

const directory = mkdtempSync(join(tmpdir(), "minik8s-e2e-control-"));
const auditLog = join(directory, "audit.log");
const kubectl = new Kubectl(join(directory, "data", "admin.conf"));
let control: Bun.Subprocess;

beforeAll(async () => {
  const policy = join(directory, "policy.yaml");
  writeFileSync(policy, "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules:\n- level: None\n  nonResourceURLs: ['/readyz*']\n- level: Metadata\n  resources: [{group: '', resources: [secrets]}]\n- level: Request\n");
  const port = await freePort();
  control = Bun.spawn([BINARY, "control", "--init", "--data-dir", join(directory, "data"), "--datastore", "memory", "--bind-address", "127.0.0.1", "--port", String(port), "--audit-policy-file", policy, "--shutdown-delay-duration", "25s"], { env: { ...process.env, MINIK8S_AUDIT_LOG_PATH: auditLog }, stdout: "ignore", stderr: "ignore" });
  await eventually("the control plane is ready", () => kubectl.run("get", "serviceaccount", "default"));
}, TEST_TIMEOUT_MS);

afterAll(async () => {
  control.kill("SIGKILL");
  await control.exited;
  rmSync(directory, { recursive: true, force: true });
});

async function freePort(): Promise<number> {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const { port } = listener;
  listener.stop(true);
  return port;
}

const events = (): any[] => readFileSync(auditLog, "utf8").split("\n").filter(Boolean).map((line) => JSON.parse(line));

test("what kubectl asked is in the audit log, without the contents of Secrets", async () => {
  await kubectl.run("create", "secret", "generic", "hidden", "--from-literal=password=hunter2");
  await kubectl.run("create", "configmap", "plain", "--from-literal=colour=blue");
  const found = await eventually("the events are written", async () => {
    const all = events();
    return all.some(({ objectRef }) => objectRef?.name === "plain") ? all : undefined;
  });
  expect(found.find(({ objectRef, verb }) => verb === "create" && objectRef?.name === "plain")).toMatchObject({ stage: "ResponseComplete", user: { username: "kubernetes-admin" }, responseStatus: { code: 201 }, requestObject: { data: { colour: "blue" } } });
  expect(found.some(({ objectRef, verb }) => verb === "create" && objectRef?.name === "hidden")).toBe(true);
  expect(readFileSync(auditLog, "utf8")).not.toContain(Buffer.from("hunter2").toString("base64"));
});

test("at the end it is not ready first, then kubectl's watch ends as watches do, with everything it was to see", async () => {
  const watching = Bun.spawn([...kubectl.command, "get", "configmaps", "-w", "-o", "name"], { stdout: "pipe", stderr: "pipe" });
  await eventually("kubectl watches", async () => events().some(({ verb, stage }) => verb === "watch" && stage === "ResponseStarted"));
  control.kill("SIGTERM");
  const notReady = await eventually("it is not ready any more", async () => {
    const { stderr } = await kubectl.attempt("get", "--raw", "/readyz");
    return stderr.includes("shutdown failed") ? stderr : undefined;
  }, TEST_TIMEOUT_MS);
  expect(notReady).toContain("[+]ping ok");
  await kubectl.run("create", "configmap", "last", "--from-literal=still=served");
  expect(await watching.exited).toBe(0);
  expect(await new Response(watching.stdout).text()).toContain("configmap/last");
  expect(await new Response(watching.stderr).text()).toBe("");
  expect(await control.exited).toBe(0);
  expect(events().findLast(({ verb }) => verb === "watch")).toMatchObject({ stage: "ResponseComplete", responseStatus: { code: 200 } });
}, TEST_TIMEOUT_MS);
