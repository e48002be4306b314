// Bearer tokens the cluster's owner brings: a file of static ones, and those of an OpenID Connect provider.
// The flags are in `tokenflags.ts`; files are read once, at start.
import { readFileSync } from "node:fs";
import { oidcTokens } from "../control/apiserver/auth/oidc.ts";
import type { AuthOptions } from "../control/apiserver/auth/create.ts";
import { parseTokenFile } from "../control/apiserver/auth/tokenfile.ts";
import { UsageError, type Values } from "./flags.ts";

/** What `createAuth` is to know of these tokens; throws UsageError naming the flag that cannot be meant. */
export function tokenOptions(values: Values, audiences: readonly string[]): Pick<AuthOptions, "staticTokens" | "furtherTokens"> {
  const file = values["token-auth-file"];
  const issuerUrl = values["oidc-issuer-url"];
  const clientId = values["oidc-client-id"];
  if ((issuerUrl === undefined) !== (clientId === undefined)) throw new UsageError("--oidc-issuer-url and --oidc-client-id: give both or none");
  return {
    staticTokens: file === undefined ? undefined : fromFile("token-auth-file", file, parseTokenFile),
    furtherTokens: issuerUrl === undefined || clientId === undefined ? undefined : oidcTokens({
      issuerUrl, clientId, audiences,
      usernameClaim: values["oidc-username-claim"], usernamePrefix: values["oidc-username-prefix"],
      groupsClaim: values["oidc-groups-claim"], groupsPrefix: values["oidc-groups-prefix"],
      requiredClaims: pairsOf(values["oidc-required-claim"]),
      signingAlgorithms: values["oidc-signing-algs"]?.split(","),
      authorityPem: values["oidc-ca-file"] === undefined ? undefined : fromFile("oidc-ca-file", values["oidc-ca-file"], (text) => text),
    }),
  };
}

/** What a file named by a flag says; throws UsageError with the flag, the file and what is wrong. */
export function fromFile<T>(flag: string, path: string, read: (text: string) => T): T {
  try {
    return read(readFileSync(path, "utf8"));
  } catch (cause) {
    throw new UsageError(`--${flag} ${path}: ${(cause as Error).message}`, { cause });
  }
}

function pairsOf(text: string | undefined): Record<string, string> | undefined {
  if (text === undefined) return undefined;
  const pairs = text.split(",").map((pair) => {
    const at = pair.indexOf("=");
    if (at < 1) throw new UsageError(`--oidc-required-claim ${text}: must be claim=value pairs separated by commas`);
    return [pair.slice(0, at), pair.slice(at + 1)] as const;
  });
  return Object.fromEntries(pairs);
}
