import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HttpClient } from "../../api/client/http.ts";
import { loadKubeconfig } from "../../api/client/kubeconfig.ts";
import { builtinKind } from "../../api/registry.ts";
import type { Secret } from "../../api/types.ts";
import { freePort } from "../../control/store/etcd/testing.ts";
import { TEST_TIMEOUT_MS } from "../../lib/testing.ts";

const MAIN = join(import.meta.dir, "..", "main.ts");
const PLAIN = "swordfish-0123456789";
const directory = mkdtempSync(join(tmpdir(), "minik8s-quiet-"));
const port = freePort();
/** What must not be found anywhere. */
const secrets = [PLAIN, Buffer.from(PLAIN).toString("base64")];
let child: Bun.Subprocess<"ignore", "pipe", "pipe">;
let written: Promise<string>;
let client: HttpClient;

beforeAll(async () => {
  child = Bun.spawn([process.execPath, MAIN, "control", "--init", "--encrypt-secrets", "--data-dir", directory, "--bind-address", "127.0.0.1", "--port", `${port}`, "--log-level", "trace"], { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  written = Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]).then((texts) => texts.join("\n"));
  for (let turn = 0; turn < 500; turn++) {
    if (await fetch(`https://127.0.0.1:${port}/readyz`, { tls: { rejectUnauthorized: false } }).then((reply) => reply.ok, () => false)) break;
    await Bun.sleep(20);
  }
  client = new HttpClient(await loadKubeconfig(join(directory, "admin.conf")));
}, TEST_TIMEOUT_MS);

afterAll(() => {
  child.kill("SIGKILL");
  rmSync(directory, { recursive: true, force: true });
});

/** A request that may well be refused; its answer goes to who asked, who knew. */
async function send(method: string, path: string, { body, token, contentType = "application/json" }: { body?: string; token?: string; contentType?: string } = {}): Promise<void> {
  await fetch(`https://127.0.0.1:${port}${path}`, { method, headers: { "content-type": contentType, ...(token && { authorization: `Bearer ${token}` }) }, ...(body !== undefined && { body }), tls: { rejectUnauthorized: false } }).then((reply) => reply.text());
}

test("neither a Secret's data nor a token is ever logged, whatever is done with it and however it fails", async () => {
  await client.create(builtinKind("", "v1", "Namespace"), { metadata: { name: "team" } });
  const secret = { metadata: { name: "s", namespace: "team" }, data: { password: Buffer.from(PLAIN).toString("base64") } };
  const created = await client.create<Secret>(builtinKind("", "v1", "Secret"), secret);
  await client.patch(builtinKind("", "v1", "Secret"), { name: "s", namespace: "team" }, { stringData: { other: PLAIN } }, { type: "merge" });
  await client.create(builtinKind("", "v1", "ServiceAccount"), { metadata: { name: "robot", namespace: "team" } });
  const { status } = await client.post<object, { status: { token: string } }>(builtinKind("", "v1", "ServiceAccount"), { name: "robot", namespace: "team" }, "token", { spec: {} });
  const bound = status.token;
  secrets.push(bound, bound.split(".")[2] ?? "");
  const admin = (method: string, path: string, body: string, contentType?: string): Promise<unknown> => client.request(method, path, contentType === undefined ? JSON.parse(body) : undefined).catch(() => undefined);
  await admin("POST", "/api/v1/namespaces/team/secrets", JSON.stringify({ ...secret, metadata: { name: "BAD NAME" } }));
  await admin("POST", "/api/v1/namespaces/team/secrets", JSON.stringify({ metadata: { name: "t" }, type: "kubernetes.io/tls", data: { "tls.crt": secret.data.password } }));
  await admin("PUT", "/api/v1/namespaces/team/secrets/s", JSON.stringify({ ...created, metadata: { ...created.metadata, resourceVersion: "1" }, data: secret.data }));
  await admin("POST", "/apis/authentication.k8s.io/v1/tokenreviews", JSON.stringify({ spec: { token: bound } }));
  await admin("POST", "/apis/authentication.k8s.io/v1/tokenreviews", JSON.stringify({ spec: { token: `${bound}x` } }));
  for (const token of [bound, `${bound.slice(0, -4)}AAAA`, PLAIN, `abcdef.${"0123456789abcdef"}`]) {
    secrets.push(token);
    await send("GET", "/version", { token });
    await send("POST", "/api/v1/namespaces/team/secrets", { token, body: `{"metadata": {"name": "x"}, "data": {"a": "${secret.data.password}"}, broken ${PLAIN}` });
    await send("POST", "/api/v1/namespaces/team/secrets", { token, body: `data:\n  a: ${PLAIN}\n b: [`, contentType: "application/yaml" });
    await send("GET", `/api/v1/namespaces/team/pods/p/exec?command=${PLAIN}`, { token });
  }
  await client.delete(builtinKind("", "v1", "ServiceAccount"), { name: "robot", namespace: "team" });
  await send("GET", "/version", { token: bound });
  const made = Bun.spawn([process.execPath, MAIN, "token", "create", "--control-plane", "--data-dir", directory], { stdout: "pipe", stderr: "ignore" });
  const [id = "", half = "", , key = ""] = (await new Response(made.stdout).text()).trim().split(".");
  secrets.push(`${id}.${half}`, half, key);
  await send("GET", "/version", { token: `${id}.${half}` });
  client.close();
  child.kill("SIGTERM");
  const text = await written;
  const keys = (JSON.parse(readFileSync(join(directory, "pki", "encryption-keys.json"), "utf8")) as { keys: { secret: string }[] }).keys.map((one) => one.secret);
  const privateKeys = readdirSync(join(directory, "pki")).filter((file) => file.endsWith(".key")).map((file) => readFileSync(join(directory, "pki", file), "utf8").split("\n")[1] as string);
  expect(privateKeys.length).toBeGreaterThan(4);
  expect(text).toContain("the control plane is ready");
  expect(text).not.toMatch(/[a-z0-9]{6}\.[a-z0-9]{16}/);
  for (const needle of [...secrets, ...keys, ...privateKeys].filter((one) => one.length > 8)) expect([needle, text.includes(needle)]).toEqual([needle, false]);
}, TEST_TIMEOUT_MS);
