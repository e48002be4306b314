import { describe, expect, test } from "bun:test";
import { ProtobufDecoder } from "./decode.ts";
import { Definitions, definitionName } from "../schema/node.ts";
import { KINDS } from "../kinds.ts";
import { numbersOf } from "./numbers.ts";

const decoder = new ProtobufDecoder();
const POD = { group: "", version: "v1", kind: "Pod" };

/** Builds messages by hand: `[number, value]`, where numbers become varints and the rest length-delimited. */
function message(...fields: readonly [number, number | string | Buffer][]): Buffer {
  return Buffer.concat(fields.map(([number, value]) => {
    if (typeof value === "number") return Buffer.from([...varint(number * 8), ...varint(value)]);
    const bytes = Buffer.from(value as string);
    return Buffer.concat([Buffer.from([...varint(number * 8 + 2), ...varint(bytes.length)]), bytes]);
  }));
}

function varint(value: number): number[] {
  const out: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  for (; rest > 127n; rest >>= 7n) out.push(Number(rest & 127n) | 128);
  return [...out, Number(rest)];
}

function envelope(apiVersion: string, kind: string, raw: Buffer): Buffer {
  return Buffer.concat([Buffer.from("k8s\0"), message([1, message([1, apiVersion], [2, kind])], [2, raw])]);
}

describe("objects sent as protobuf", () => {
  test("a namespace as kubectl sends it has its name and none of the zeros around it", () => {
    const sent = Buffer.from("6b3873000a0f0a02763112094e616d657370616365121b0a130a03666f6f12001a0022002a0032003800420012001a020a001a002200", "hex");
    expect(decoder.decode(sent, POD)).toEqual({ kind: "Namespace", apiVersion: "v1", metadata: { name: "foo" }, spec: {}, status: {} });
  });

  test("inlined messages, maps, quantities, ports by number and by name, and negative numbers arrive", () => {
    const probe = message([1, message([2, message([1, "/healthz"], [2, message([1, 1], [3, "web"])])])], [2, 5]);
    const container = message([1, "main"], [6, message([1, "http"], [3, 8080])], [8, message([1, message([1, "cpu"], [2, message([1, "250m"])])])], [10, probe]);
    const toleration = message([1, "key"], [5, -1]);
    const volume = message([1, "data"], [2, message([2, message([1, "Memory"])])]);
    const spec = message([1, volume], [2, container], [22, toleration], [7, message([1, "disk"], [2, "ssd"])]);
    const pod = envelope("v1", "Pod", message([1, message([1, "p"], [11, message([1, "app"], [2, "web"])])], [2, spec]));
    expect(decoder.decode(pod, POD)).toEqual({
      kind: "Pod", apiVersion: "v1", metadata: { name: "p", labels: { app: "web" } },
      spec: {
        volumes: [{ name: "data", emptyDir: { medium: "Memory" } }],
        containers: [{ name: "main", ports: [{ name: "http", containerPort: 8080 }], resources: { limits: { cpu: "250m" } }, livenessProbe: { httpGet: { path: "/healthz", port: "web" }, initialDelaySeconds: 5 } }],
        nodeSelector: { disk: "ssd" }, tolerations: [{ key: "key", tolerationSeconds: -1 }],
      },
    });
  });

  test("times are RFC 3339, and the zero time is none", () => {
    const lease = envelope("coordination.k8s.io/v1", "Lease", message([1, message([1, "l"], [8, message()])], [2, message([1, "me"], [4, message([1, 1_700_000_000], [2, 123_456_000])])]));
    expect(decoder.decode(lease, POD)).toMatchObject({ metadata: { name: "l" }, spec: { holderIdentity: "me", renewTime: "2023-11-14T22:13:20.123456Z" } });
    expect((decoder.decode(lease, POD)["metadata"] as object)).not.toHaveProperty("creationTimestamp");
  });

  test("secrets keep their bytes as base64", () => {
    const secret = envelope("v1", "Secret", message([1, message([1, "s"])], [2, message([1, "k"], [2, Buffer.from([0, 255])])]));
    expect(decoder.decode(secret, POD)).toMatchObject({ data: { k: "AP8=" } });
  });

  test("delete options are read whatever group they are sent to", () => {
    expect(decoder.decode(envelope("apps/v1", "DeleteOptions", message([1, 0], [4, "Foreground"])), POD)).toMatchObject({ gracePeriodSeconds: 0, propagationPolicy: "Foreground" });
  });

  test("a custom resource definition keeps its schema, defaults and extensions included", () => {
    const inner = message([5, "object"], [38, 1], [8, message([1, '{"a":1}'])]);
    const props = message([29, message([1, "spec"], [2, inner])], [30, message([1, 1])]);
    const crd = envelope("apiextensions.k8s.io/v1", "CustomResourceDefinition", message([2, message([7, message([1, "v1"], [4, message([1, props])])])]));
    expect(decoder.decode(crd, POD)).toMatchObject({ spec: { versions: [{ name: "v1", schema: { openAPIV3Schema: { properties: { spec: { type: "object", default: { a: 1 }, "x-kubernetes-preserve-unknown-fields": true } }, additionalProperties: true } } }] } });
  });

  test("what is no protobuf, or is cut short, is refused", () => {
    expect(() => decoder.decode(Buffer.from("{}"), POD)).toThrow("does not appear to be a protobuf message");
    const sent = envelope("v1", "Pod", message([1, message([1, "p"])]));
    expect(() => decoder.decode(sent.subarray(0, sent.length - 2), POD)).toThrow("unexpected EOF");
  });

  test("custom resources have no such form", () => {
    expect(() => decoder.decode(envelope("example.com/v1", "Widget", message()), { group: "example.com", version: "v1", kind: "Widget" })).toThrow("the body of the request was in an unknown format");
  });

  test("every built-in kind, and all it is made of, has numbers for all of its fields", () => {
    const definitions = new Definitions();
    const seen = new Set<string>();
    const missing: string[] = [];
    const visit = (definition: string): void => {
      if (seen.has(definition)) return;
      seen.add(definition);
      const numbers = numbersOf(definition.split(".").slice(-3).join("."));
      if (!numbers) return;
      const named = new Set<string>();
      const collect = (table: NonNullable<ReturnType<typeof numbersOf>>): void => table.forEach((value) => (typeof value === "string" ? named.add(value) : collect(value)));
      collect(numbers);
      for (const [field, { t }] of Object.entries(definitions.data(definition).f)) {
        if (!named.has(field) && field !== "kind" && field !== "apiVersion") missing.push(`${definition}.${field}`);
        const reference = t.replace(/^(\[\]|\{\})+/, "");
        if (reference.startsWith("#") && definitions.has(reference.slice(1))) visit(reference.slice(1));
      }
    };
    for (const kind of KINDS) visit(definitionName(kind));
    expect(seen.size).toBeGreaterThan(300);
    expect(missing).toEqual([]);
  });
});
