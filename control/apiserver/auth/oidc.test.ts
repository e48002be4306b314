import { beforeAll, describe, expect, test } from "bun:test";
import { exportJWK, generateKeyPair, SignJWT, type CryptoKey } from "jose";
import { oidcTokens, type OidcOptions } from "./oidc.ts";

const ISSUER = "https://id.example.com";
let key: CryptoKey;
let strangerKey: CryptoKey;
let jwks: object;
beforeAll(async () => {
  const [own, stranger] = await Promise.all([generateKeyPair("RS256"), generateKeyPair("RS256")]);
  key = own.privateKey;
  strangerKey = stranger.privateKey;
  jwks = { keys: [{ ...(await exportJWK(own.publicKey)), kid: "k1", alg: "RS256", use: "sig" }] };
});

function provider(options: Partial<OidcOptions> = {}) {
  const asked: string[] = [];
  const check = oidcTokens({
    issuerUrl: ISSUER, clientId: "kubernetes", audiences: ["https://cluster"],
    fetch: async (url) => {
      asked.push(String(url));
      return Response.json(String(url).endsWith("openid-configuration") ? { issuer: ISSUER, jwks_uri: `${ISSUER}/keys` } : jwks);
    },
    ...options,
  });
  return { check, asked };
}

const token = (claims: object = {}, options: { signer?: CryptoKey; audience?: string; expires?: string; issuer?: string } = {}): Promise<string> =>
  new SignJWT({ sub: "jane", groups: ["dev"], ...claims }).setProtectedHeader({ alg: "RS256", kid: "k1" }).setIssuer(options.issuer ?? ISSUER)
    .setAudience(options.audience ?? "kubernetes").setIssuedAt().setExpirationTime(options.expires ?? "1h").sign(options.signer ?? key);

describe("a token of the provider", () => {
  test("names its user after the issuer, and the keys are fetched once", async () => {
    const { check, asked } = provider({ groupsClaim: "groups", groupsPrefix: "oidc:" });
    expect(await check(await token())).toEqual({ user: { name: `${ISSUER}#jane`, groups: ["oidc:dev"] }, audiences: ["https://cluster"] });
    await check(await token({ sub: "joe" }));
    expect(asked).toEqual([`${ISSUER}/.well-known/openid-configuration`, `${ISSUER}/keys`]);
  });

  test.each<[string, Partial<OidcOptions>, object, string]>([
    ["an email", { usernameClaim: "email" }, { email: "jane@example.com", email_verified: true }, "jane@example.com"],
    ["no prefix", { usernamePrefix: "-" }, {}, "jane"],
    ["a prefix", { usernamePrefix: "sso:" }, {}, "sso:jane"],
  ])("is named by %s where that is asked for", async (_what, options, claims, name) => {
    const { check } = provider(options);
    expect((await check(await token(claims)))?.user.name).toBe(name);
  });

  test.each<[string, Partial<OidcOptions>, () => Promise<string>, string]>([
    ["it has expired", {}, () => token({}, { expires: "-1h" }), "exp"],
    ["it is for another client", {}, () => token({}, { audience: "other" }), "aud"],
    ["somebody else signed it", {}, () => token({}, { signer: strangerKey }), "signature"],
    ["the email is not verified", { usernameClaim: "email" }, () => token({ email: "x@y", email_verified: false }), "email not verified"],
    ["a required claim differs", { requiredClaims: { tenant: "a" } }, () => token({ tenant: "b" }), "required claim tenant value does not match"],
    ["the user claim is missing", { usernameClaim: "name" }, () => token(), "claim not present"],
  ])("is refused when %s", async (_what, options, make, message) => {
    const { check } = provider(options);
    await expect(check(await make())).rejects.toThrow(message);
  });

  test("of another issuer is none of its business", async () => {
    const { check, asked } = provider();
    expect(await check(await token({}, { issuer: "https://other.example.com" }))).toBeUndefined();
    expect(await check("not-a-token")).toBeUndefined();
    expect(asked).toEqual([]);
  });

  test("is looked at again once a provider that was away is back", async () => {
    let isAway = true;
    const { check } = provider({ fetch: async (url) => {
      if (isAway) return new Response("", { status: 503 });
      return Response.json(String(url).endsWith("openid-configuration") ? { jwks_uri: `${ISSUER}/keys` } : jwks);
    } });
    await expect(check(await token())).rejects.toThrow("answered 503");
    isAway = false;
    expect((await check(await token()))?.user.name).toBe(`${ISSUER}#jane`);
  });
});
