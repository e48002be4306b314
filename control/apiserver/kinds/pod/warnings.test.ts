import { expect, test } from "bun:test";
import type { PodSpec } from "../../../../api/types.ts";
import type { StrategyContext } from "../strategy.ts";
import { warnOfPod, warnOfTemplate } from "./warnings.ts";

function warnings(run: (context: StrategyContext) => void): string[] {
  const said: string[] = [];
  run({ warn: (text: string) => void said.push(text) } as StrategyContext);
  return said;
}
const warningsOf = (spec: Partial<PodSpec>, annotations: Record<string, string> = {}): string[] => warnings((context) => warnOfPod({ containers: [], ...spec }, { annotations }, context));
const container = { name: "c", image: "busybox" };

test("an ordinary pod is no reason to warn", () => {
  expect(warningsOf({ containers: [{ ...container, env: [{ name: "A", value: "1" }, { name: "A", value: "$(A)2" }], resources: { requests: { memory: "64Mi", cpu: "100m" } }, ports: [{ containerPort: 80, protocol: "TCP" }, { containerPort: 80, protocol: "UDP" }] }] })).toEqual([]);
});

test("a pod is warned of what it hides, repeats and means no more", () => {
  expect(warningsOf({ nodeSelector: { "beta.kubernetes.io/os": "linux" } })).toEqual(['spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead']);
  expect(warningsOf({ containers: [{ ...container, env: [{ name: "A", value: "1" }, { name: "A", value: "2" }] }] })).toEqual(['spec.containers[0].env[1]: hides previous definition of "A", which may be dropped when using apply']);
  expect(warningsOf({ containers: [{ ...container, resources: { limits: { memory: "100m" } } }] })).toEqual(['spec.containers[0].resources.limits[memory]: fractional byte value "100m" is invalid, must be an integer']);
  expect(warningsOf({ imagePullSecrets: [{ name: "a" }, { name: "a" }, {}] })).toEqual(['spec.imagePullSecrets[1].name: duplicate name "a"', 'spec.imagePullSecrets[2].name: invalid empty name ""']);
  expect(warningsOf({ volumes: [{ name: "v", gitRepo: { repository: "r" } }] })).toEqual(["spec.volumes[0].gitRepo: deprecated in v1.11, and disabled by default in v1.33+"]);
  expect(warningsOf({ affinity: { podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: "zone" }] } } })).toEqual(["spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].labelSelector: a null labelSelector results in matching no pod"]);
  expect(warningsOf({}, { "seccomp.security.alpha.kubernetes.io/pod": "runtime/default" })).toEqual(['metadata.annotations[seccomp.security.alpha.kubernetes.io/pod]: non-functional in v1.27+; use the "seccompProfile" field instead']);
});

test("ports that stand in each other's way are told", () => {
  const ports = [{ containerPort: 80, protocol: "TCP", name: "web" }, { containerPort: 80, protocol: "TCP", hostPort: 8080 }, { containerPort: 81, protocol: "TCP", name: "web" }];
  expect(warningsOf({ containers: [{ ...container, ports }] })).toEqual([
    "spec.containers[0].ports[1]: overlapping port definition with spec.containers[0].ports[0]",
    'spec.containers[0].ports[2]: duplicate port name "web" with spec.containers[0].ports[0], services and probes that select ports by name will use spec.containers[0].ports[0]',
  ]);
});

test("a template is warned of once, not at every change of something else", () => {
  const template = { metadata: { annotations: { "scheduler.alpha.kubernetes.io/critical-pod": "" } }, spec: { containers: [container] } };
  expect(warnings((context) => warnOfTemplate(template, context))).toEqual(['spec.template.metadata.annotations[scheduler.alpha.kubernetes.io/critical-pod]: non-functional in v1.16+; use the "priorityClassName" field instead']);
  expect(warnings((context) => warnOfTemplate(template, context, { old: structuredClone(template) }))).toEqual([]);
});
