// How full claims' volumes are, found by the name of the volume behind them.
import { afterAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { aPod } from "./builders.ts";
import { volumeMetrics } from "./metrics.ts";
import { Paths } from "./paths.ts";
import { BoundVolumes, claimFigures } from "./volumestats.ts";

const directory = mkdtempSync("/tmp/mk8s-claims-");
afterAll(() => rmSync(directory, { recursive: true, force: true }));

test("a mounted claim is shown once, whoever mounts it; one that is not bound or not mounted is not", async () => {
  const paths = new Paths(directory, "");
  mkdirSync(paths.volume("u1", "kubernetes.io~local-volume", "pv-1"), { recursive: true });
  const asked: string[] = [];
  const boundVolumes = new BoundVolumes((_, claim) => {
    asked.push(claim);
    return Promise.resolve(claim === "data" || claim === "p-scratch" ? { name: "pv-1" } : undefined);
  });
  const pod = aPod({ uid: "u1", spec: { volumes: [{ name: "d", persistentVolumeClaim: { claimName: "data" } }, { name: "u", persistentVolumeClaim: { claimName: "unbound" } }, { name: "scratch", ephemeral: {} }, { name: "c", configMap: {} }] } });
  const figures = await claimFigures({ paths, boundVolumes }, [pod]);
  expect(figures.map(({ claim }) => claim)).toEqual(["data", "p-scratch"]);
  expect(figures[0]?.capacityBytes).toBeGreaterThan(figures[0]?.availableBytes ?? 0);
  expect(volumeMetrics(figures)).toContain(`kubelet_volume_stats_capacity_bytes{namespace="default",persistentvolumeclaim="data"} ${figures[0]?.capacityBytes}\n`);
  await claimFigures({ paths, boundVolumes }, [pod]);
  expect(asked.filter((claim) => claim === "data")).toHaveLength(1);
  // Another pod's claim of that name may be another claim.
  await claimFigures({ paths, boundVolumes }, [aPod({ uid: "u2", spec: { volumes: [{ name: "d", persistentVolumeClaim: { claimName: "data" } }] } })]);
  expect(asked.filter((claim) => claim === "data")).toHaveLength(2);
});
