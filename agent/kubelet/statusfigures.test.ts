// What of a pod's start counts against the node.
import { expect, test } from "bun:test";
import type { Pod, PodStatus, Volume } from "../../api/types.ts";
import type { ContainerRecord } from "../runtime/runtime.ts";
import { aPod } from "./builders.ts";
import { Figures } from "./figures.ts";
import { countStatus } from "./statusfigures.ts";

const CREATED = Date.parse("2026-01-01T00:00:00Z");
const running: PodStatus = { phase: "Running", containerStatuses: [{ name: "app", image: "i", imageID: "", ready: true, restartCount: 0, started: true, state: { running: { startedAt: "2026-01-01T00:00:30Z" } } }] };
const ran = (name: string, startedAt: number, finishedAt: number): ContainerRecord => ({ name, startedAt: CREATED + startedAt, finishedAt: CREATED + finishedAt, state: "exited" }) as ContainerRecord;

function sumOf(pod: Pod, containers: ContainerRecord[], pulledMs: number): string | undefined {
  const figures = new Figures();
  const created = { ...pod, metadata: { ...pod.metadata, creationTimestamp: new Date(CREATED).toISOString() } };
  countStatus(figures, { pod: created, old: {}, status: running, now: CREATED + 30_000, firstSeenAt: CREATED + 1_000, observed: { uid: "u", name: "p", namespace: "default", sandboxes: [], containers }, pulledMs });
  return /start_sli_duration_seconds_sum (.*)/.exec(figures.text())?.[1];
}

test("waiting for images and running init containers is not the node's time; sidecars' starts are", () => {
  const pod = aPod({ spec: { initContainers: [{ name: "first", image: "i" }, { name: "side", image: "i", restartPolicy: "Always" }], containers: [{ name: "app", image: "i" }] } });
  expect(sumOf(pod, [ran("first", 4_000, 9_000), ran("side", 10_000, 20_000)], 3_000)).toBe("22");
});

test("a pod with storage of its own is not counted, one with the node's volumes is", () => {
  const withVolume = (volume: Volume): Pod => aPod({ spec: { volumes: [volume] } });
  expect(sumOf(withVolume({ name: "v", nfs: { server: "s", path: "/" } }), [], 0)).toBeUndefined();
  expect(sumOf(withVolume({ name: "v", emptyDir: {} }), [], 0)).toBe("30");
});
