import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { NodeRequestError } from "./containers.ts";
import { serveNodeLogs } from "./node-logs.ts";

let directory: string;
let server: Server;
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "minik8s-node-logs-"));
  mkdirSync(join(directory, "log", "pods"), { recursive: true });
  writeFileSync(join(directory, "secret"), "not a log");
  writeFileSync(join(directory, "log", "syslog"), "it began\n");
  writeFileSync(join(directory, "log", "empty"), "");
  symlinkSync("../secret", join(directory, "log", "link"));
  server = createServer((request, response) => void serveNodeLogs(decodeURIComponent(request.url ?? ""), response, join(directory, "log")).catch((error: NodeRequestError) => response.writeHead(error.code).end()));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
});
afterAll(() => {
  server.close();
  rmSync(directory, { recursive: true, force: true });
});

const get = (path: string): Promise<Response> => fetch(`http://127.0.0.1:${(server.address() as { port: number }).port}${path}`);

test("files are sent, directories are listed", async () => {
  expect(await (await get("/syslog")).text()).toBe("it began\n");
  expect(await (await get("/empty")).text()).toBe("");
  expect(await (await get("/")).text()).toContain('<a href="pods/">pods/</a>\n<a href="syslog">syslog</a>');
});

test("nothing outside the log directory is, by whatever way", async () => {
  for (const path of ["/..%2fsecret", "/link", "/none", "/pods/..%2f..%2fsecret"]) expect((await get(path)).status).toBe(404);
});
