import { describe, expect, test } from "bun:test";
import { complaintAbout } from "./judge.ts";
import { Random } from "./random.ts";
import { Seen } from "./seen.ts";
import type { Reply } from "./send.ts";
import { shotOf, type Shot } from "./shots.ts";
import type { Surface } from "./surface.ts";

const surface: Surface = { definitions: {}, resources: [{ group: "", version: "v1", kind: "ConfigMap", plural: "configmaps", namespaced: true, verbs: ["create", "get", "list", "watch", "update", "patch", "delete"], subresource: "", schema: { type: "object", properties: { data: { type: "object", additionalProperties: { type: "string" } } } } }] };
const get: Shot = { method: "GET", path: "/api/v1/namespaces/default/configmaps", headers: {} };
const reply = (status: number, body: unknown): Reply => ({ status, contentType: "application/json", body: Buffer.from(typeof body === "string" ? body : JSON.stringify(body)), ms: 1 });
const status = (code: number, message = "no"): object => ({ kind: "Status", apiVersion: "v1", status: "Failure", message, reason: "BadRequest", code });

test("the same seed makes the same requests, another one others", () => {
  const shots = (seed: number): Shot[] => Array.from({ length: 200 }, (_, index) => shotOf({ random: new Random(seed + index), surface, seen: new Seen() }));
  expect(shots(1)).toEqual(shots(1));
  expect(shots(1)).not.toEqual(shots(9000));
});

describe("a reply is complained about", () => {
  test.each([
    ["when it is a 500", reply(500, status(500)), "500"],
    ["when it tells of an accident", reply(400, status(400, "undefined is not an object")), "the message tells of an accident"],
    ["when an error is no Status", reply(404, { message: "gone" }), "an error that is no Status"],
    ["when its code is another one", reply(409, status(404)), "a Status of code 404"],
    ["when it is not JSON", reply(200, "<html>"), "the body is not JSON"],
    ["when a list has no items", reply(200, { kind: "ConfigMapList", apiVersion: "v1" }), "a list without items"],
    ["when a row does not fit its columns", reply(200, { kind: "Table", apiVersion: "meta.k8s.io/v1", columnDefinitions: [{}], rows: [{ cells: [1, 2] }] }), "a row that does not fit its columns"],
  ])("%s", (_, seen, complaint) => expect(complaintAbout(get, seen)).toBe(complaint));

  test("when none comes", () => expect(complaintAbout(get, { ...reply(0, ""), error: "no reply in time" })).toBe("no reply: no reply in time"));
});

test.each([[reply(200, { kind: "ConfigMapList", apiVersion: "v1", items: [] })], [reply(422, status(422))], [reply(503, status(503))], [reply(500, status(500, "failed calling webhook"))]])("an honest reply is not (%#)", (seen) => {
  expect(complaintAbout(get, seen)).toBeUndefined();
});
