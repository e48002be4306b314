// Programs that know registry credentials: what they are asked, and how long their answers hold.
import { afterAll, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { FakeClock } from "../../lib/clock.ts";
import { aPod } from "./builders.ts";
import { CredentialPlugins, type CredentialPluginsOptions } from "./credentialplugins.ts";
import { readCredentialProviders, type CredentialProvider } from "./credentialproviders.ts";

const V1 = "credentialprovider.kubelet.k8s.io/v1";
const directory = mkdtempSync("/tmp/mk8s-plugins-");
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const provider = (overrides: Partial<CredentialProvider> = {}): CredentialProvider => ({ name: "shop", apiVersion: V1, matchImages: ["*.example.com"], defaultCacheMs: 60_000, args: [], env: {}, ...overrides });

/** Plugins whose program answers with `response`; `asked` holds what it was given. */
function rig(response: object, overrides: Partial<CredentialProvider> = {}) {
  const asked: Record<string, unknown>[] = [];
  const clock = new FakeClock(0);
  const options: CredentialPluginsOptions = {
    providers: [provider(overrides)], binDir: "/bin", clock,
    exec: (_, run) => {
      asked.push(JSON.parse(run?.stdin ?? "") as Record<string, unknown>);
      return Promise.resolve({ exitCode: 0, stdout: JSON.stringify({ kind: "CredentialProviderResponse", apiVersion: V1, cacheKeyType: "Image", auth: { "*.example.com": { username: "u", password: "p" } }, ...response }), stderr: "" });
    },
    serviceAccount: (namespace, name) => Promise.resolve({ metadata: { namespace, name, uid: "sa-1", annotations: { team: "red", other: "x" } } }),
    token: (_, { audience }) => Promise.resolve(`token for ${audience}`),
  };
  const plugins = new CredentialPlugins(options);
  return { asked, clock, users: async (image: string, pod = aPod()) => (await plugins.credentials(pod, image)).map(({ auth }) => auth.username) };
}

test("only images that a program matches are asked for, by name without tag", async () => {
  const { asked, users } = rig({});
  expect(await users("a.example.com/x/y:1")).toEqual(["u"]);
  expect(await users("elsewhere.org/x")).toEqual([]);
  expect(asked.map(({ image }) => image)).toEqual(["a.example.com/x/y"]);
});

test.each([["Image", 3], ["Registry", 2], ["Global", 1]] as const)("an answer per %s is kept for what it covers", async (cacheKeyType, times) => {
  const { asked, users } = rig({ cacheKeyType });
  for (const image of ["a.example.com/x", "a.example.com/x:2", "a.example.com/y", "b.example.com/x"]) expect(await users(image)).toEqual(["u"]);
  expect(asked).toHaveLength(times);
});

test("an answer is kept as long as it says, else as long as the configuration does", async () => {
  const short = rig({ cacheDuration: "10s" });
  const never = rig({ cacheDuration: "0s" });
  const byDefault = rig({});
  for (const { users, clock } of [short, never, byDefault]) {
    await users("a.example.com/x");
    clock.advance(9_000);
    await users("a.example.com/x");
    clock.advance(2_000);
    await users("a.example.com/x");
  }
  expect([short.asked.length, never.asked.length, byDefault.asked.length]).toEqual([2, 3, 1]);
});

test("pods that start together ask once", async () => {
  const { asked, users } = rig({ cacheDuration: "0s" });
  await Promise.all([users("a.example.com/x"), users("a.example.com/x")]);
  expect(asked).toHaveLength(1);
});

test("an answer of another version, or none, gives nothing", async () => {
  expect(await rig({ apiVersion: "other/v1" }).users("a.example.com/x")).toEqual([]);
  expect(await rig({ cacheKeyType: "Nonsense" }).users("a.example.com/x")).toEqual([]);
});

test("a program that wants a service account gets its token and the annotations it names", async () => {
  const tokenAttributes = { serviceAccountTokenAudience: "shop", requireServiceAccount: true, cacheType: "Token", requiredServiceAccountAnnotationKeys: ["team"] } as const;
  const { asked, users } = rig({}, { tokenAttributes });
  expect(await users("a.example.com/x")).toEqual([]);
  expect(await users("a.example.com/x", aPod({ spec: { serviceAccountName: "builder" } }))).toEqual(["u"]);
  expect(asked).toEqual([expect.objectContaining({ serviceAccountToken: "token for shop", serviceAccountAnnotations: { team: "red" } })]);
  const missing = rig({}, { tokenAttributes: { ...tokenAttributes, requiredServiceAccountAnnotationKeys: ["absent"] } });
  expect(await missing.users("a.example.com/x", aPod({ spec: { serviceAccountName: "builder" } }))).toEqual([]);
});

test("a configuration that cannot work is refused with the field that is wrong", () => {
  writeFileSync(join(directory, "shop"), "");
  chmodSync(join(directory, "shop"), 0o755);
  const read = (providers: unknown): CredentialProvider[] => {
    writeFileSync(join(directory, "config.yaml"), JSON.stringify({ apiVersion: "kubelet.config.k8s.io/v1", kind: "CredentialProviderConfig", providers }));
    return readCredentialProviders(join(directory, "config.yaml"), directory);
  };
  const good = { name: "shop", apiVersion: V1, matchImages: ["*.example.com"], defaultCacheDuration: "1h30m" };
  expect(read([good])[0]).toMatchObject({ name: "shop", defaultCacheMs: 5_400_000 });
  expect(() => read([])).toThrow("at least 1 item");
  expect(() => read([{ ...good, name: "absent" }])).toThrow("absent did not exist");
  expect(() => read([good, good])).toThrow('providers[1].name: Duplicate value: "shop"');
  expect(() => read([{ ...good, matchImages: [] }])).toThrow("providers[0].matchImages: Required value");
  expect(() => read([{ ...good, defaultCacheDuration: "soon" }])).toThrow("defaultCacheDuration: Invalid value");
});
