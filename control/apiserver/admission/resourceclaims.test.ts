import { expect, test } from "bun:test";
import type { Client } from "../../../api/client/client.ts";
import { builtinKind } from "../../../api/registry.ts";
import type { AnyObject } from "../../../api/types.ts";
import type { Authorizer } from "../auth/auth.ts";
import type { Attributes, Operation } from "./plugin.ts";
import { resourceClaimRights } from "./resourceclaims.ts";

const CLAIM = builtinKind("resource.k8s.io", "v1", "ResourceClaim");
let labels: Record<string, string> = {};
const client = { get: async () => ({ metadata: { name: "default", labels } }) } as unknown as Client;
/** Allows what is listed as `verb subresource name`. */
const allowing = (...asked: string[]): Authorizer => ({ authorize: (request) => ({ allowed: "resource" in request && asked.includes(`${request.verb} ${request.subresource} ${request.name}`.trim()) }) });

async function outcome(authorizer: Authorizer, { operation, subresource = "", object, oldObject, user = { name: "jane", groups: [] } }: { operation: Operation; subresource?: string; object: AnyObject; oldObject?: AnyObject; user?: Attributes["user"] }): Promise<string> {
  const attributes: Attributes = { verb: operation.toLowerCase(), kind: CLAIM, namespace: "default", name: "c", subresource, user, dryRun: false, fieldManager: "", warnings: [], operation, object, oldObject };
  const plugin = resourceClaimRights(authorizer);
  expect(plugin.concerns?.(attributes)).toBe(true);
  try {
    await plugin.validate?.(attributes, client);
    return "allowed";
  } catch (error) {
    return (error as Error).message;
  }
}

const asking = { metadata: { name: "c" }, spec: { devices: { requests: [{ name: "r", exactly: { deviceClassName: "gpu", adminAccess: true } }] } } };
const withStatus = (status: object): AnyObject => ({ metadata: { name: "c" }, status });
const selector = { nodeSelectorTerms: [{ matchFields: [{ key: "metadata.name", operator: "In", values: ["n1"] }] }] };
const allocated = { allocation: { devices: { results: [{ request: "r", driver: "d.example.com", pool: "p", device: "g" }] }, nodeSelector: selector } };
const reported = { ...allocated, devices: [{ driver: "d.example.com", pool: "p", device: "g" }] };

test("admin access is for namespaces that are marked for it", async () => {
  labels = {};
  expect(await outcome(allowing(), { operation: "CREATE", object: asking })).toBe('ResourceClaim.resource.k8s.io "c" is invalid: spec.devices.requests[0].adminAccess: Forbidden: admin access to devices requires the `resource.kubernetes.io/admin-access: true` label on the containing namespace');
  labels = { "resource.kubernetes.io/admin-access": "true" };
  expect(await outcome(allowing(), { operation: "CREATE", object: asking })).toBe("allowed");
});

test("allocating and reserving takes a right of its own", async () => {
  const write = { operation: "UPDATE" as const, subresource: "status", object: withStatus(allocated), oldObject: withStatus({}) };
  expect(await outcome(allowing(), write)).toContain('changing status.allocation or status.reservedFor requires resource="resourceclaims/binding", verb="update" permission: resourceclaims.resource.k8s.io is forbidden: User "jane" cannot update resource "resourceclaims/binding"');
  expect(await outcome(allowing("update binding"), write)).toBe("allowed");
  expect(await outcome(allowing(), { ...write, oldObject: withStatus(allocated) })).toBe("allowed");
});

test("a driver speaks for its devices on its own node, or on any where it may", async () => {
  const write = { operation: "UPDATE" as const, subresource: "status", object: withStatus(reported), oldObject: withStatus(allocated) };
  const near = { name: "system:serviceaccount:gpu:driver", groups: [], extra: { "authentication.kubernetes.io/node-name": ["n1"] } };
  const far = { ...near, extra: { "authentication.kubernetes.io/node-name": ["n2"] } };
  const authorizer = allowing("associated-node:update driver d.example.com");
  expect(await outcome(authorizer, { ...write, user: near })).toBe("allowed");
  expect(await outcome(authorizer, { ...write, user: far })).toContain('changing status.devices requires resource="resourceclaims/driver", verb="[arbitrary-node:update]" permission:');
  expect(await outcome(allowing("arbitrary-node:update driver d.example.com"), { ...write, user: far })).toBe("allowed");
});
