import { generateKeyPairSync } from "node:crypto";
import { expect, test } from "bun:test";
import { FakeClock } from "../../../lib/clock.ts";
import { createAuthority, DAY_MS } from "../../pki/certificates.ts";
import { createAuth } from "./create.ts";
import { FakeInformers } from "./fakes.ts";

const serviceAccountKeyPem = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ type: "pkcs8", format: "pem" }) as string;
const ask = (name: string, ...groups: string[]) => ({ user: { name, groups }, verb: "get", group: "", version: "v1", resource: "pods", subresource: "", namespace: "team", name: "p" });

/** Auth whose caches fill when the test says so. */
async function starting() {
  const objects = new FakeInformers();
  const clock = new FakeClock(1_800_000_000_000);
  let fill = (): void => {};
  const filled = new Promise<void>((resolve) => (fill = resolve));
  objects.waitForSync = () => filled;
  const authority = await createAuthority("ca", DAY_MS, clock.now());
  const auth = createAuth({ informers: objects, clock, clientAuthorities: [authority.certPem], serviceAccountKeyPem, issuer: "https://test" });
  const rbac = "rbac.authorization.k8s.io/v1";
  const load = (): void => {
    objects.put(`${rbac}/Role`, { metadata: { name: "r", namespace: "team" }, rules: [{ verbs: ["get"], apiGroups: [""], resources: ["pods"] }] });
    objects.put(`${rbac}/RoleBinding`, { metadata: { name: "b", namespace: "team" }, roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: "r" }, subjects: [{ kind: "User", name: "ann" }] });
    objects.put("ServiceAccount", { metadata: { name: "robot", namespace: "team" } });
    fill();
  };
  return { auth, clock, load };
}

test("a question right after a start is answered from full caches, not refused from empty ones", async () => {
  const { auth, load } = await starting();
  const answer = auth.authorizer.authorize(ask("ann"));
  expect(answer).toBeInstanceOf(Promise);
  load();
  expect(await answer).toMatchObject({ allowed: true });
  expect(auth.authorizer.authorize(ask("ann"))).toMatchObject({ allowed: true });
});

test("a token right after a start is looked up once its account is known", async () => {
  const { auth, load } = await starting();
  const account = { metadata: { name: "robot", namespace: "team", uid: "robot-uid", resourceVersion: "1", creationTimestamp: "" } };
  const bearerToken = auth.tokens.issue({ account, audiences: ["https://test"], lifetimeSeconds: 600 });
  const user = auth.authenticator.authenticate({ bearerToken });
  load();
  expect(await user).toMatchObject({ name: "system:serviceaccount:team:robot" });
});

test("masters never wait, and nobody waits for ever", async () => {
  const { auth, clock } = await starting();
  expect(auth.authorizer.authorize(ask("root", "system:masters"))).toEqual({ allowed: true });
  const answer = auth.authorizer.authorize(ask("ann"));
  await clock.advance(10_000);
  expect(await answer).toMatchObject({ allowed: false });
});
