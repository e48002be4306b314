// Admission of requests that open a connection: exec, attach, port-forward and proxies, as the operation CONNECT.
import { apiVersionOf } from "../../../api/kinds.ts";
import type { AnyObject } from "../../../api/types.ts";
import { admitWhole } from "../admission.ts";
import type { Engine } from "../engine.ts";
import type { ResourceTarget } from "../http/target.ts";
import type { UserInfo } from "../request.ts";

const CONNECTING = new Set(["exec", "attach", "portforward", "proxy"]);

/** Asks admission about a connection; throws what refuses it. Logs are read, not connected to. */
export async function admitConnection(engine: Engine, { target, query, user }: { target: ResourceTarget; query: URLSearchParams; user: UserInfo }): Promise<void> {
  const kind = engine.kinds.resource(target.group, target.version, target.plural);
  const options = kind?.subresources[target.subresource]?.gvk;
  if (!kind || !options || !CONNECTING.has(target.subresource)) return;
  const object = { kind: options.kind, apiVersion: apiVersionOf(options), ...fieldsOf(query, target) } as unknown as AnyObject;
  const { verb, namespace, name, subresource } = target;
  await admitWhole(engine, { verb, kind, namespace, name, subresource, user, dryRun: false, fieldManager: "", warnings: [], operation: "CONNECT", object });
}

function fieldsOf(query: URLSearchParams, { rest }: ResourceTarget): Record<string, unknown> {
  const fields: Record<string, unknown> = rest === "" ? {} : { path: rest };
  for (const name of new Set(query.keys())) {
    const values = query.getAll(name);
    const [value] = values;
    if (name === "command") fields[name] = values;
    else if (name === "ports") fields[name] = values.flatMap((list) => list.split(",")).map(Number);
    else fields[name] = value === "true" || value === "1" ? true : value === "false" || value === "0" ? false : value;
  }
  return fields;
}
