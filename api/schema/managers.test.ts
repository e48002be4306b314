import { expect, test } from "bun:test";
import type { ManagedFieldsEntry } from "../types.ts";
import { readManagers } from "./managers.ts";

const entry = (fieldsV1: unknown): ManagedFieldsEntry => ({ manager: "m", operation: "Update", apiVersion: "v1", fieldsType: "FieldsV1", fieldsV1 }) as ManagedFieldsEntry;

test("entries whose fields are no set of fields cannot be read", () => {
  for (const fields of [{ "f:value": null }, { "f:value": "x" }, { "f:spec": { "f:a": [{}] } }, []]) expect(readManagers([entry(fields)])).toBeUndefined();
  expect(readManagers([entry({ "f:spec": { ".": {}, "f:a": {} } })])?.size).toBe(1);
});
