import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { HttpClient } from "../api/client/http.ts";
import { builtinKind } from "../api/registry.ts";
import type { ConfigMap, Deployment, ReplicaSet } from "../api/types.ts";
import { eventually, TEST_TIMEOUT_MS } from "../lib/testing.ts";
import { hasEtcd, TestQuorum } from "../control/store/etcd/testing.ts";
import { aDeployment, command, Plane } from "./planes.testing.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

const CONFIG_MAPS = builtinKind("", "v1", "ConfigMap");
const DEPLOYMENTS = builtinKind("apps", "v1", "Deployment");
const REPLICA_SETS = builtinKind("apps", "v1", "ReplicaSet");
const WRITES_BETWEEN = 40;

describe.skipIf(!hasEtcd)("two control planes on three members of etcd", () => {
  const root = mkdtempSync(join(tmpdir(), "minik8s-quorum-"));
  const etcd = new TestQuorum();
  const planes = ["first", "second"].map((name) => new Plane(join(root, name), `etcd://${etcd.endpoints}`));
  const [first, second] = planes as [Plane, Plane];

  beforeAll(async () => {
    etcd.start();
    await eventually("a leader", () => etcd.leader());
    first.start(["--init"]);
    await first.ready();
    const token = (await command(["token", "create", "--control-plane", "--data-dir", first.directory])).trim();
    second.start(["--join", `https://127.0.0.1:${first.port}`, "--token", token]);
    await second.ready();
  });

  afterAll(async () => {
    await Promise.all(planes.map((plane) => plane.stop()));
    await etcd.remove();
    rmSync(root, { recursive: true, force: true });
  });

  test("neither the death of etcd's leader nor that of a control plane loses a write that was acknowledged, and one set of controllers goes on", async () => {
    const [one, two] = await Promise.all([first.connect(), second.connect()]);
    const writers = [new Writer(one, "a"), new Writer(two, "b")];
    const progress = (writer: Writer): Promise<unknown> => {
      const goal = writer.acknowledged.length + WRITES_BETWEEN;
      return eventually(`${WRITES_BETWEEN} more writes`, () => writer.acknowledged.length >= goal);
    };
    await Promise.all(writers.map(progress));

    await (await etcd.leader())?.kill();
    await Promise.all(writers.map(progress));
    await two.create<Deployment>(DEPLOYMENTS, aDeployment("leaderless"));
    await eventually("its ReplicaSet", async () => (await replicaSets(two)) === 1);

    await first.kill();
    await progress(writers[1] as Writer);
    await two.create<Deployment>(DEPLOYMENTS, aDeployment("alone"));
    await eventually("its ReplicaSet", async () => (await replicaSets(two)) === 2);

    const acknowledged = (await Promise.all(writers.map((writer) => writer.stop()))).flat();
    const kept = new Set((await two.list<ConfigMap>(CONFIG_MAPS, { namespace: "default" })).items.map(({ metadata }) => metadata.name));
    expect(acknowledged.filter((name) => !kept.has(name))).toEqual([]);
    expect(acknowledged.length).toBeGreaterThan(4 * WRITES_BETWEEN);
    await Promise.all([one.close(), two.close()]);
  });
});

const replicaSets = async (client: HttpClient): Promise<number> => (await client.list<ReplicaSet>(REPLICA_SETS, { namespace: "default" })).items.length;

/** Writes one object after the other; what fails is not acknowledged, and the next one is tried. */
class Writer {
  readonly acknowledged: string[] = [];
  #isStopped = false;
  readonly #done: Promise<void>;

  constructor(private readonly client: HttpClient, private readonly prefix: string) {
    this.#done = this.#write();
  }

  async stop(): Promise<readonly string[]> {
    this.#isStopped = true;
    await this.#done;
    return this.acknowledged;
  }

  async #write(): Promise<void> {
    for (let i = 0; !this.#isStopped; i++) {
      const name = `${this.prefix}-${i}`;
      try {
        await this.client.create<ConfigMap>(CONFIG_MAPS, { metadata: { name, namespace: "default" } });
        this.acknowledged.push(name);
      } catch {
        await Bun.sleep(50);
      }
    }
  }
}
