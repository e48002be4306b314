// Request rates over HTTP/2, as h2load counts them: 4 connections with 8 streams each.
import { writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { builtinKind } from "../../api/registry.ts";
import type { ConfigMap, Namespace, Pod } from "../../api/types.ts";
import type { Control } from "./control.ts";

/** How many a second, and what each took of the control plane. */
export interface Rate {
  readonly perSecond: number;
  readonly cpuMicros: number;
}

const CONNECTIONS = 4;
const STREAMS = 8;
const CONFIG_MAPS = builtinKind("", "v1", "ConfigMap");
const PODS = builtinKind("", "v1", "Pod");

export async function postConfigMaps(control: Control): Promise<Rate> {
  const namespace = await namespaceFor(control, "post-configmaps");
  return h2load(control, { path: `/api/v1/namespaces/${namespace}/configmaps`, requests: 20_000, body: aConfigMap(namespace) });
}

export async function postPods(control: Control): Promise<Rate> {
  const namespace = await namespaceFor(control, "post-pods");
  return h2load(control, { path: `/api/v1/namespaces/${namespace}/pods`, requests: 10_000, body: aPod(namespace) });
}

export async function getOne(control: Control): Promise<Rate> {
  return h2load(control, { path: "/api/v1/namespaces/default/configmaps/kube-root-ca.crt", requests: 50_000 });
}

export async function listConfigMaps(control: Control): Promise<Rate> {
  const namespace = await namespaceFor(control, "list-configmaps");
  await createMany(3000, () => control.client.create<ConfigMap>(CONFIG_MAPS, aConfigMap(namespace)));
  return h2load(control, { path: `/api/v1/namespaces/${namespace}/configmaps`, requests: 600 });
}

export async function listPods(control: Control): Promise<Rate> {
  const namespace = await namespaceFor(control, "list-pods");
  await createMany(2000, () => control.client.create<Pod>(PODS, aPod(namespace)));
  return h2load(control, { path: `/api/v1/namespaces/${namespace}/pods?resourceVersion=0`, requests: 200 });
}

/** A Pod as a small Deployment would have it, never scheduled. */
export function aPod(namespace: string): Pod {
  return {
    apiVersion: "v1", kind: "Pod",
    metadata: { generateName: "bench-", namespace, labels: { app: "bench", tier: "web" } },
    spec: {
      schedulerName: "nobody",
      containers: [{ name: "app", image: "minik8s/hello:1", ports: [{ containerPort: 8080 }], env: [{ name: "MODE", value: "bench" }], resources: { requests: { cpu: "10m", memory: "16Mi" }, limits: { memory: "64Mi" } } }],
    },
  };
}

/** Runs `create` this many times, 64 at once. */
export async function createMany(count: number, create: (index: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  await Promise.all(Array.from({ length: 64 }, async () => {
    while (next < count) await create(next++);
  }));
}

/** Makes a namespace for one measurement and returns its name once pods can be made in it. */
export async function namespaceFor(control: Control, name: string): Promise<string> {
  await control.client.create<Namespace>(builtinKind("", "v1", "Namespace"), { metadata: { name } });
  while (!(await control.client.get(builtinKind("", "v1", "ServiceAccount"), { namespace: name, name: "default" }).catch(() => undefined))) await Bun.sleep(5);
  return name;
}

function aConfigMap(namespace: string): ConfigMap {
  return { apiVersion: "v1", kind: "ConfigMap", metadata: { generateName: "bench-", namespace, labels: { app: "bench" } }, data: { key: "v".repeat(500) } };
}

/** Throws unless every request succeeded. */
export async function h2load(control: Control, { path, requests, body }: { path: string; requests: number; body?: unknown }): Promise<Rate> {
  const bodyFile = join(tmpdir(), `minik8s-bench-${process.pid}.json`);
  if (body) writeFileSync(bodyFile, JSON.stringify(body));
  const before = control.cpuMicros();
  const child = Bun.spawn(["h2load", "-c", String(CONNECTIONS), "-m", String(STREAMS), "-n", String(requests), "-H", `Authorization: Bearer ${control.token}`, "-H", "Content-Type: application/json", ...(body ? ["-d", bodyFile] : []), `${control.url}${path}`], { stdout: "pipe", stderr: "pipe" });
  const output = await new Response(child.stdout).text();
  const succeeded = Number(/(\d+) 2xx/.exec(output)?.[1]);
  const rate = Number(/finished in [^,]+, ([\d.]+) req\/s/.exec(output)?.[1]);
  if (succeeded !== requests) throw new Error(`${path}: ${requests - succeeded} of ${requests} requests failed:\n${output}`);
  return { perSecond: rate, cpuMicros: (control.cpuMicros() - before) / requests };
}
