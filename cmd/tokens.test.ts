import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { UsageError } from "./flags.ts";
import { tokenOptions } from "./tokens.ts";

const directory = mkdtempSync(join(tmpdir(), "minik8s-tokens-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

function file(text: string): string {
  const path = join(directory, crypto.randomUUID());
  writeFileSync(path, text);
  return path;
}

test("without flags nobody else's tokens count", () => {
  expect(tokenOptions({}, ["a"])).toEqual({ staticTokens: undefined, furtherTokens: undefined });
});

test("a token file names users and their groups", () => {
  const { staticTokens } = tokenOptions({ "token-auth-file": file('t1,alice,u1,"dev,ops"\n') }, ["a"]);
  expect(staticTokens?.get("t1")).toEqual({ name: "alice", uid: "u1", groups: ["dev", "ops"] });
});

test("what cannot be meant names its flag", () => {
  const refused = (values: Record<string, string>): string => {
    try {
      tokenOptions(values, ["a"]);
    } catch (error) {
      expect(error).toBeInstanceOf(UsageError);
      return (error as Error).message;
    }
    return "accepted";
  };
  expect(refused({ "token-auth-file": join(directory, "absent") })).toStartWith("--token-auth-file ");
  expect(refused({ "token-auth-file": file("only-a-token\n") })).toContain("line 1");
  expect(refused({ "oidc-client-id": "c" })).toBe("--oidc-issuer-url and --oidc-client-id: give both or none");
  expect(refused({ "oidc-issuer-url": "https://x", "oidc-client-id": "c", "oidc-required-claim": "hd" })).toContain("--oidc-required-claim hd");
});

test("tokens of another issuer are left to others", async () => {
  const { furtherTokens } = tokenOptions({ "oidc-issuer-url": "https://issuer.example", "oidc-client-id": "c" }, ["a"]);
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  expect(await furtherTokens?.(`${part({ alg: "RS256" })}.${part({ iss: "https://other.example" })}.x`)).toBeUndefined();
});
