import { expect, test } from "bun:test";
import type { CriClient } from "./cri.ts";
import { Ownership } from "./ownership.ts";

/** CRI whose lists are answered by hand, in any order. */
class SlowCri {
  readonly asked: PromiseWithResolvers<unknown>[] = [];

  call(): Promise<unknown> {
    const answer = Promise.withResolvers<unknown>();
    this.asked.push(answer);
    return answer.promise;
  }
}

test("a list that was asked for before a container was made does not make it unknown", async () => {
  const cri = new SlowCri();
  const ownership = new Ownership(cri as unknown as CriClient);
  ownership.addSandbox("s", "u");
  const listing = ownership.listContainers();
  ownership.addContainer("c", "s");
  cri.asked[0]?.resolve({ containers: [] });
  await listing;
  expect(ownership.known("c")).toEqual({ kind: "container", sandboxId: "s", podUid: "u" });
});

test("what was known before a list and is not in it is forgotten", async () => {
  const cri = new SlowCri();
  const ownership = new Ownership(cri as unknown as CriClient);
  ownership.addContainer("c", "s");
  const listing = ownership.listContainers();
  cri.asked[0]?.resolve({ containers: [{ id: "d", podSandboxId: "s" }] });
  await listing;
  expect(ownership.known("c")).toBeUndefined();
  expect(ownership.known("d")?.sandboxId).toBe("s");
});
