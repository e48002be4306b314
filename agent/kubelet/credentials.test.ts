// Which credentials fit which image.
import { expect, test } from "bun:test";
import { credentialsFor, repositoryOf } from "./credentials.ts";

const secret = (auths: Record<string, unknown>): { metadata: object; data: Record<string, string> } => ({ metadata: {}, data: { ".dockerconfigjson": Buffer.from(JSON.stringify({ auths })).toString("base64") } });
const user = (name: string): { username: string; password: string } => ({ username: name, password: "pw" });
const namesFor = (image: string, auths: Record<string, unknown>): (string | undefined)[] => credentialsFor(image, [secret(auths)]).map(({ auth }) => auth.username);

test("an image's repository is its full name without tag and digest", () => {
  expect(repositoryOf("nginx")).toBe("docker.io/library/nginx");
  expect(repositoryOf("me/app:1")).toBe("docker.io/me/app");
  expect(repositoryOf("localhost:5000/app:1@sha256:00")).toBe("localhost:5000/app");
});

test("credentials fit by host, wildcard and path prefix, the longest first", () => {
  const auths = { "reg.example.com": user("host"), "reg.example.com/team": user("team"), "*.example.com": user("any"), "other.example.com": user("other") };
  expect(namesFor("reg.example.com/team/app:1", auths)).toEqual(["team", "host", "any"]);
  expect(namesFor("reg.example.com/else/app", auths)).toEqual(["host", "any"]);
  expect(namesFor("deep.reg.example.com/app", auths)).toEqual([]);
});

test("Docker Hub is known under its old name", () => {
  expect(namesFor("nginx", { "https://index.docker.io/v1/": user("hub") })).toEqual(["hub"]);
});

test("the auth field is user and password, which may hold colons", () => {
  expect(credentialsFor("r.io/x", [secret({ "r.io": { auth: Buffer.from("u:p:w").toString("base64") } })])).toMatchObject([{ auth: { username: "u", password: "p:w" } }]);
});

test("nonsense is passed over", () => {
  expect(credentialsFor("r.io/x", [undefined, { metadata: {}, data: { ".dockerconfigjson": "bm90IGpzb24=" } }])).toEqual([]);
});
