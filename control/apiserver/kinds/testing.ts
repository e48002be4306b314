// What the tests of kinds share: a server with the real strategies, builders, and refusals as text.
import { ApiError } from "../../../api/errors.ts";
import { builtinKind } from "../../../api/registry.ts";
import type { AnyObject, KubeObject, Pod, PodSpec, Service, ServiceSpec, Stored } from "../../../api/types.ts";
import { startTestServer, type TestOptions, type TestServer } from "../testing.ts";
import { createStrategies } from "./index.ts";

export const POD = builtinKind("", "v1", "Pod");
export const SERVICE = builtinKind("", "v1", "Service");

/** A server in memory that knows every kind's behaviour. */
export function startKindServer(options: TestOptions = {}): Promise<TestServer> {
  return startTestServer({ strategies: createStrategies({ serviceCidrs: ["10.96.0.0/16"] }), ...options });
}

/** A pod of one container; `spec` is merged over it. */
export function aPod(spec: Partial<PodSpec> = {}, metadata: KubeObject["metadata"] = {}): Pod {
  return { metadata: { name: "p", namespace: "default", ...metadata }, spec: { containers: [{ name: "c", image: "busybox:1" }], ...spec } };
}

/** A service on port 80. */
export function aService(spec: Partial<ServiceSpec> = {}, name = "s"): Service {
  return { metadata: { name, namespace: "default" }, spec: { ports: [{ port: 80 }], ...spec } };
}

/** Creates through the API, as a client would. */
export async function create<T extends KubeObject>(server: TestServer, kind: Parameters<typeof builtinKind>, object: T): Promise<Stored<T>> {
  const known = builtinKind(...kind);
  return server.client.create(known, { ...object, metadata: { ...object.metadata, ...(known.namespaced && { namespace: object.metadata.namespace ?? "default" }) } });
}

/** The message of the refusal an action meets; fails when it meets none. */
export async function refusal(action: Promise<unknown>): Promise<string> {
  try {
    const answer = await action;
    throw new Error(`was not refused: ${JSON.stringify(answer)}`);
  } catch (error) {
    if (error instanceof ApiError) return error.message;
    throw error;
  }
}

/** The status of an object, however its kind spells it. */
export const statusOf = (object: KubeObject): AnyObject => ((object as AnyObject)["status"] ?? {}) as AnyObject;
