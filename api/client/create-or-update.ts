// Bringing one object to a wanted state: created when absent, changed when it differs (or left as others made it).
import { isAlreadyExists, isConflict, isNotFound } from "../errors.ts";
import type { KindInfo } from "../kinds.ts";
import type { KubeObject, Stored } from "../types.ts";
import type { Client } from "./client.ts";

/** Makes an object's fields equal to `wanted`'s, whatever others do meanwhile; fields `wanted` does not name stay. Labels and annotations are added to. */
export async function createOrUpdate<T extends KubeObject>(client: Client, kind: KindInfo, wanted: T): Promise<Stored<T>> {
  const name = { name: wanted.metadata.name as string, namespace: wanted.metadata.namespace };
  for (;;) {
    try {
      const current = await client.get<T>(kind, name);
      const next = overlay(current, wanted);
      return Bun.deepEquals(current, next) ? current : await client.update<T>(kind, next);
    } catch (error) {
      if (isConflict(error)) continue;
      if (!isNotFound(error)) throw error;
    }
    try {
      return await client.create<T>(kind, wanted);
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
    }
  }
}

/** Makes an object unless there is one, whoever made it. Asks first: a create that takes an address would be refused for the address. */
export async function createIfAbsent<T extends KubeObject>(client: Client, kind: KindInfo, object: T): Promise<void> {
  try {
    await client.get<T>(kind, { name: object.metadata.name as string, namespace: object.metadata.namespace });
  } catch (error) {
    if (!isNotFound(error)) throw error;
    await client.create<T>(kind, object).catch((reason: unknown) => {
      if (!isAlreadyExists(reason)) throw reason;
    });
  }
}

function overlay<T extends KubeObject>(current: Stored<T>, wanted: T): T {
  const metadata = { ...current.metadata };
  if (wanted.metadata.labels) metadata.labels = { ...metadata.labels, ...wanted.metadata.labels };
  if (wanted.metadata.annotations) metadata.annotations = { ...metadata.annotations, ...wanted.metadata.annotations };
  return { ...current, ...wanted, metadata };
}
