import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { builtinKind } from "../../../../api/registry.ts";
import type { Namespace, Pod, PodSpec, Stored } from "../../../../api/types.ts";
import { aPod, create, POD, refusal, startKindServer } from "../../kinds/testing.ts";
import { call, type TestServer } from "../../testing.ts";
import { describe as describeViolations, evaluate } from "./evaluate.ts";
import { podSecurity } from "./plugin.ts";

const NAMESPACE = builtinKind("", "v1", "Namespace");
const restrictedContext = { allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] }, runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } };
const careful: Partial<PodSpec> = { containers: [{ name: "c", image: "i", securityContext: restrictedContext }] };
let server: TestServer;

beforeEach(async () => {
  server = await startKindServer({ http: true, admission: [podSecurity()] });
});
afterEach(() => server.stop());

const namespace = (labels: Record<string, string>): Promise<unknown> =>
  create(server, ["", "v1", "Namespace"], { metadata: { name: "ns", labels: Object.fromEntries(Object.entries(labels).map(([key, value]) => [`pod-security.kubernetes.io/${key}`, value])) } });
const pod = (spec: Partial<PodSpec> = {}, name = "p"): Promise<Stored<Pod>> => server.client.create(POD, aPod(spec, { name, namespace: "ns" }));

describe("enforcing", () => {
  test("restricted names everything a plain pod violates, in upstream's words", async () => {
    await namespace({ enforce: "restricted" });
    expect(await refusal(pod())).toBe(
      'pods "p" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true), seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")',
    );
    await pod(careful);
  });

  test("baseline lets a plain pod pass and a dangerous one not", async () => {
    await namespace({ enforce: "baseline", "enforce-version": "v1.30" });
    await pod({}, "plain");
    expect(await refusal(pod({ hostNetwork: true, containers: [{ name: "c", image: "i", securityContext: { privileged: true } }], volumes: [{ name: "v", hostPath: { path: "/" } }] }))).toBe(
      'pods "p" is forbidden: violates PodSecurity "baseline:v1.30": host namespaces (hostNetwork=true), hostPath volumes (volume "v"), privileged (container "c" must not set securityContext.privileged=true)',
    );
  });

  test("nothing is enforced where no label asks for it", async () => {
    await namespace({});
    await pod({ hostPID: true });
  });
});

const violations: readonly (readonly [string, Partial<PodSpec>, string])[] = [
  ["capabilities", { containers: [{ name: "c", image: "i", securityContext: { capabilities: { add: ["SYS_ADMIN", "CHOWN"] } } }] }, 'non-default capabilities (container "c" must not include "SYS_ADMIN" in securityContext.capabilities.add)'],
  ["host ports", { containers: [{ name: "c", image: "i", ports: [{ containerPort: 1, hostPort: 8080 }] }] }, 'hostPort (container "c" uses hostPort 8080)'],
  ["sysctls", { securityContext: { sysctls: [{ name: "kernel.msgmax", value: "1" }] } }, "forbidden sysctls (kernel.msgmax)"],
  ["unconfined seccomp", { securityContext: { seccompProfile: { type: "Unconfined" } } }, 'seccompProfile (pod must not set securityContext.seccompProfile.type to "Unconfined")'],
  ["SELinux", { securityContext: { seLinuxOptions: { type: "spc_t", user: "u" } } }, 'seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: type "spc_t"; user may not be set)'],
  ["unmasked /proc", { containers: [{ name: "c", image: "i", securityContext: { procMount: "Unmasked" } }] }, 'procMount (container "c" must not set securityContext.procMount to "Unmasked")'],
];
test.each(violations)("baseline forbids %s", (_what, spec, text) => {
  expect(describeViolations(evaluate({ level: "baseline", minor: "latest" }, { containers: [{ name: "c", image: "i" }], ...spec }, {}))).toBe(text);
});

test("a level is what it was at the version asked for", () => {
  const spec = { containers: [{ name: "c", image: "i" }] };
  expect(evaluate({ level: "restricted", minor: 20 }, spec, {}).map(({ reason }) => reason)).toEqual(["allowPrivilegeEscalation != false", "runAsNonRoot != true", "seccompProfile"]);
  expect(evaluate({ level: "restricted", minor: 5 }, spec, {}).map(({ reason }) => reason)).toEqual(["runAsNonRoot != true"]);
});

describe("warning", () => {
  test("tells of pods and of templates, and stops neither", async () => {
    await namespace({ warn: "restricted" });
    const reply = await call(server, "POST", "/api/v1/namespaces/ns/pods", { body: aPod({}, { name: "p", namespace: "ns" }) });
    expect(reply.status).toBe(201);
    expect(reply.headers.get("warning")).toContain("would violate PodSecurity \\\"restricted:latest\\\": allowPrivilegeEscalation != false");
    const deployment = { metadata: { name: "d" }, spec: { selector: { matchLabels: { a: "b" } }, template: { metadata: { labels: { a: "b" } }, spec: { containers: [{ name: "c", image: "i" }] } } } };
    expect((await call(server, "POST", "/apis/apps/v1/namespaces/ns/deployments", { body: deployment })).headers.get("warning")).toContain("would violate PodSecurity");
  });

  test("tells what existing pods violate when a level is raised", async () => {
    await namespace({});
    await pod({}, "a");
    await pod({ hostIPC: true }, "b");
    const current = await server.client.get<Namespace>(NAMESPACE, { name: "ns" });
    const reply = await call(server, "PUT", "/api/v1/namespaces/ns", { body: { ...current, metadata: { ...current.metadata, labels: { "pod-security.kubernetes.io/enforce": "baseline" } } } });
    expect(reply.headers.get("warning")).toContain('existing pods in namespace \\"ns\\" violate the new PodSecurity enforce level \\"baseline:latest\\"');
    expect(reply.headers.get("warning")).toContain("b: host namespaces");
  });
});

test("labels that say nothing sensible are refused", async () => {
  expect(await refusal(namespace({ enforce: "strict", "warn-version": "2" }))).toBe(
    'Namespace "ns" is invalid: [metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: "strict": must be one of privileged, baseline, restricted, metadata.labels[pod-security.kubernetes.io/warn-version]: Invalid value: "2": must be "latest" or "v1.x"]',
  );
});
