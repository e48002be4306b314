// Ranges of user ids for pods with user namespaces of their own.
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { aPod } from "./builders.ts";
import { Paths } from "./paths.ts";
import { usableRange, UserNamespaces } from "./userns.ts";

const directory = mkdtempSync("/tmp/mk8s-userns-");
afterAll(() => rmSync(directory, { recursive: true, force: true }));
const wanting = (uid: string) => aPod({ uid, spec: { hostUsers: false } });

test("every pod that asks gets ids of its own, the same ones after a restart, and gives them back", async () => {
  const options = { paths: new Paths(directory, join(directory, "logs")), idsPerPod: 65_536, subuid: "" };
  const before = new UserNamespaces(options);
  expect(await before.of(aPod())).toBeUndefined();
  expect(await before.of(wanting("a"))).toEqual({ hostId: 65_536, length: 65_536 });
  expect(await before.of(wanting("b"))).toEqual({ hostId: 131_072, length: 65_536 });
  const after = new UserNamespaces(options);
  expect(await after.of(wanting("b"))).toEqual({ hostId: 131_072, length: 65_536 });
  after.forget("a");
  expect(await after.of(wanting("c"))).toEqual({ hostId: 65_536, length: 65_536 });
});

test("ids set aside for the kubelet are the ones used, whole blocks of them, and they can run out", async () => {
  expect(usableRange("someone:1:2\nkubelet:100000:200000\n", 65_536)).toEqual({ hostId: 131_072, length: 168_928 });
  const few = new UserNamespaces({ paths: new Paths(join(directory, "few"), ""), idsPerPod: 65_536, subuid: "kubelet:65536:65536" });
  await few.of(wanting("a"));
  const failure = await few.of(wanting("b")).catch((error: unknown) => error);
  expect(String(failure)).toContain("could not find an empty slot");
});
