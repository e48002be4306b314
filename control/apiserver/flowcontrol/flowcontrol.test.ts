import { describe, expect, test } from "bun:test";
import type { FlowSchema, PriorityLevelConfiguration, Stored } from "../../../api/types.ts";
import type { UserInfo } from "../request.ts";
import { flowConfig } from "./config.ts";
import { FlowControl, type Seat } from "./control.ts";
import { dealHand, hashOf } from "./hand.ts";
import { DemandMeter } from "./demand.ts";
import { allocate, boundsOf, type Need } from "./limits.ts";
import type { Digest } from "./match.ts";
import { flowSchemas, priorityLevels } from "./objects.ts";
import { Pace } from "./pace.ts";
import { Refused } from "./refused.ts";
import { RetryAfter } from "./retryafter.ts";
import { Turn } from "./turn.ts";

const stored = <T>(objects: readonly unknown[]): Stored<any>[] => objects.map((object) => ({ ...(object as any), metadata: { ...(object as any).metadata, uid: `uid-of-${(object as any).metadata.name}` } })) as T as any;
const DEFAULTS = { levels: stored<PriorityLevelConfiguration>(priorityLevels()), schemas: stored<FlowSchema>(flowSchemas()) };
const someone = (name: string, ...groups: string[]): UserInfo => ({ name, groups: [...groups, "system:authenticated"] });
const asks = (user: UserInfo, more: Partial<Digest> = {}): Digest => ({ user, verb: "get", group: "", resource: "pods", namespace: "default", ...more });

/** Time that stands still unless moved, and turns of the event loop that never end early. */
function aServer({ levels = [], schemas = [], seats = 600, budgetMs = Infinity }: { levels?: any[]; schemas?: any[]; seats?: number; budgetMs?: number } = {}) {
  const clock = { ms: 1000 };
  const control = new FlowControl({ seats, now: () => clock.ms, turn: new Turn(budgetMs) });
  control.configure(flowConfig([...DEFAULTS.levels, ...stored<PriorityLevelConfiguration>(levels)], [...DEFAULTS.schemas, ...stored<FlowSchema>(schemas)]));
  const enter = (digest: Digest, { seats = 1, waitAtMostMs = 60_000, onGone = (): void => {} }: { seats?: number; waitAtMostMs?: number; onGone?: (leave: () => void) => void } = {}): Seat | Promise<Seat> => control.enter(control.flowOf(digest), { digest, seats, waitAtMostMs, onGone });
  return { clock, control, enter };
}

const limited = (name: string, nominalConcurrencyShares: number, more: object = {}): object => ({ metadata: { name }, spec: { type: "Limited", limited: { nominalConcurrencyShares, lendablePercent: 0, borrowingLimitPercent: 0, limitResponse: { type: "Queue", queuing: { queues: 64, handSize: 4, queueLengthLimit: 50 } }, ...more } } });
const forUser = (name: string, user: string, level: string, more: object = {}): object => ({
  metadata: { name },
  spec: { matchingPrecedence: 50, priorityLevelConfiguration: { name: level }, distinguisherMethod: { type: "ByUser" }, rules: [{ subjects: [{ kind: "User", user: { name: user } }], resourceRules: [{ verbs: ["*"], apiGroups: ["*"], resources: ["*"], namespaces: ["*"], clusterScope: true }], nonResourceRules: [{ verbs: ["*"], nonResourceURLs: ["*"] }] }], ...more },
});
const refusal = async (entered: () => unknown): Promise<unknown> => {
  try {
    await entered();
  } catch (error) {
    return error;
  }
  return undefined;
};

describe("which FlowSchema a request belongs to", () => {
  const { control } = aServer({ schemas: [forUser("b-same-precedence", "bob", "system"), forUser("a-same-precedence", "bob", "workload-low")] });
  const schemaOf = (digest: Digest): string => control.flowOf(digest).schema.name;

  test.each<[string, Digest]>([
    ["exempt", asks(someone("root", "system:masters"))],
    ["probes", asks(someone("x"), { path: "/healthz", resource: "", namespace: "" })],
    ["global-default", asks(someone("x"), { path: "/version", resource: "", namespace: "" })],
    ["system-leader-election", asks(someone("system:kube-scheduler"), { group: "coordination.k8s.io", resource: "leases", namespace: "kube-system", verb: "update" })],
    ["kube-scheduler", asks(someone("system:kube-scheduler"))],
    ["system-node-high", asks(someone("system:node:a", "system:nodes"), { resource: "nodes/status", namespace: "", verb: "patch" })],
    ["system-nodes", asks(someone("system:node:a", "system:nodes"))],
    ["kube-system-service-accounts", asks(someone("system:serviceaccount:kube-system:job-controller", "system:serviceaccounts"))],
    ["service-accounts", asks(someone("system:serviceaccount:kube-system2:x", "system:serviceaccounts"))],
    ["global-default", asks(someone("alice"))],
    ["a-same-precedence", asks(someone("bob"))],
    ["catch-all", asks({ name: "nobody", groups: [] })],
  ])("%s", (name, digest) => expect(schemaOf(digest)).toBe(name));

  test("a path rule covers what is below it, and no longer word", () => {
    const server = aServer({ schemas: [forUser("urls", "carl", "system", { rules: [{ subjects: [{ kind: "User", user: { name: "carl" } }], nonResourceRules: [{ verbs: ["get"], nonResourceURLs: ["/a", "/b/*"] }] }] })] });
    const at = (path: string): string => server.control.flowOf(asks(someone("carl"), { path })).schema.name;
    expect([at("/a"), at("/a/c"), at("/ab"), at("/b/c"), at("/b")]).toEqual(["urls", "urls", "global-default", "urls", "global-default"]);
  });

  test("requests without a namespace need a rule for the cluster's scope", () => {
    const server = aServer({ schemas: [forUser("scoped", "dora", "system", { rules: [{ subjects: [{ kind: "User", user: { name: "dora" } }], resourceRules: [{ verbs: ["*"], apiGroups: [""], resources: ["pods"], namespaces: ["one"] }] }] })] });
    const at = (namespace: string): string => server.control.flowOf(asks(someone("dora"), { namespace })).schema.name;
    expect([at("one"), at("two"), at("")]).toEqual(["scoped", "global-default", "global-default"]);
  });

  test("a schema whose level does not exist is passed over, and one that is changed is tried anew for known users", () => {
    const eve = someone("eve");
    const server = aServer({ schemas: [forUser("dangling", "eve", "nowhere")] });
    expect(server.control.flowOf(asks(eve)).schema.name).toBe("global-default");
    server.control.configure(flowConfig([...DEFAULTS.levels, ...stored<PriorityLevelConfiguration>([limited("nowhere", 10)])], [...DEFAULTS.schemas, ...stored<FlowSchema>([forUser("dangling", "eve", "nowhere")])]));
    expect(server.control.flowOf(asks(eve)).schema).toMatchObject({ name: "dangling", uid: "uid-of-dangling" });
  });

  test("without any stored object the mandatory ones hold", () => {
    const bare = new FlowControl({ seats: 10 });
    expect(bare.flowOf(asks(someone("x"))).schema.name).toBe("catch-all");
    expect(bare.flowOf(asks(someone("x", "system:masters"))).level.config.isExempt).toBe(true);
  });
});

describe("seats", () => {
  test("shares divide the server, lending and borrowing bound each level", () => {
    expect(boundsOf([{ shares: 30, lendablePercent: 33 }, { shares: 10, lendablePercent: 0, borrowingLimitPercent: 50 }], 100)).toEqual([{ nominal: 75, lowest: 50, highest: 175 }, { nominal: 25, lowest: 25, highest: 38 }]);
  });

  test("who needs more gets what others do not use, nobody falls below what it may keep, and the sum stays", () => {
    const need = (more: Partial<Need>): Need => ({ nominal: 50, lowest: 10, highest: 150, isExempt: false, peak: 0, smoothed: 0, ...more });
    const { seats } = allocate([need({ peak: 120, smoothed: 100 }), need({}), need({ lowest: 50 })]);
    expect(seats.reduce((so, seat) => so + seat, 0)).toBe(150);
    expect(seats[0]).toBeGreaterThan(80);
    expect(seats[1]).toBeGreaterThanOrEqual(10);
    expect(seats[2]).toBe(50);
  });

  test("demand is remembered by its peak, its average, and slowly", () => {
    const meter = new DemandMeter(0);
    meter.add(10, 0);
    meter.add(-10, 5);
    const first = meter.endPeriod(10);
    expect(first).toMatchObject({ peak: 10, average: 5, deviation: 5, smoothed: 10 });
    expect(meter.endPeriod(20)).toMatchObject({ peak: 0, average: 0, smoothed: 9.77 });
  });

  test("a hand is a few different queues, the same for the same flow", () => {
    const hand = dealHand(hashOf("schema", "alice"), 64, 6);
    expect(new Set(hand).size).toBe(6);
    expect(hand.every((queue) => queue >= 0 && queue < 64)).toBe(true);
    expect(dealHand(hashOf("schema", "alice"), 64, 6)).toEqual(hand);
    expect(dealHand(hashOf("schema", "bob"), 64, 6)).not.toEqual(hand);
    expect(dealHand(123n, 3, 3).toSorted()).toEqual([0, 1, 2]);
  });
});

describe("who is served", () => {
  const alone = { seats: 10, levels: [limited("few", 10_000)], schemas: [forUser("greedy", "greedy", "few"), forUser("modest", "modest", "few")] };

  test("at once while there are seats, later when somebody leaves, in order", async () => {
    const { enter } = aServer(alone);
    const held = Array.from({ length: 9 }, () => enter(asks(someone("greedy"))) as Seat);
    expect(held.every((seat) => !(seat instanceof Promise))).toBe(true);
    let isServed = false;
    const next = (enter(asks(someone("greedy"))) as Promise<Seat>).then((seat) => ((isServed = true), seat));
    await Bun.sleep(1);
    expect(isServed).toBe(false);
    held[0]?.release();
    (await next).release();
  });

  test("a flow with few requests is not behind one with many", async () => {
    const { enter, clock } = aServer(alone);
    const held = [...Array.from({ length: 9 }, () => enter(asks(someone("greedy"))) as Seat), enter(asks(someone("modest"))) as Seat];
    const order: string[] = [];
    const wait = (name: string): void => void (enter(asks(someone(name))) as Promise<Seat>).then((seat) => (order.push(name), (clock.ms += 1), seat.release()));
    for (let count = 0; count < 100; count++) wait("greedy");
    for (let count = 0; count < 3; count++) wait("modest");
    clock.ms += 100;
    held[0]?.release();
    await Bun.sleep(5);
    expect(order).toHaveLength(103);
    expect(order.slice(0, 20).filter((name) => name === "modest")).toHaveLength(3);
  });

  test("the last seats are not for who has all the others: somebody else finds one at once, however slow the replies are read", async () => {
    const { enter, control } = aServer({ ...alone, seats: 80 });
    for (let count = 0; count < 200; count++) void Promise.resolve(enter(asks(someone("greedy")))).catch(() => {});
    await Bun.sleep(1);
    expect(control.levels.get("few")).toMatchObject({ seatsInUse: 70, waiting: 130 });
    const other = await enter(asks(someone("modest")));
    expect(control.levels.get("few")?.seatsInUse).toBe(71);
    other.release();
    await Bun.sleep(1);
    expect(control.levels.get("few")?.seatsInUse).toBe(70);
  });

  test("a full queue refuses, and says to come back later the more often it does", async () => {
    const { enter, control } = aServer({ ...alone, levels: [limited("few", 10_000, { limitResponse: { type: "Queue", queuing: { queues: 1, handSize: 1, queueLengthLimit: 3 } } })] });
    for (let count = 0; count < 13; count++) void Promise.resolve(enter(asks(someone("greedy")))).catch(() => {});
    expect(await refusal(() => enter(asks(someone("greedy"))))).toMatchObject({ retryAfterSeconds: 1, message: "Too many requests, please try again later." });
    expect(control.text()).toContain('apiserver_flowcontrol_rejected_requests_total{flow_schema="greedy",priority_level="few",reason="queue-full"} 1');
    const tracker = new RetryAfter();
    for (let second = 100; second < 200; second++) for (let count = 0; count < 50; count++) tracker.refused(second);
    expect(tracker.seconds).toBe(32);
    for (let second = 300; second < 400; second++) tracker.refused(second);
    expect(tracker.seconds).toBeLessThan(32);
  });

  test("waiting ends when it took too long or the client has gone; the place is free again", async () => {
    const { enter, control } = aServer({ ...alone, seats: 1 });
    const held = enter(asks(someone("greedy"))) as Seat;
    expect(await refusal(() => enter(asks(someone("modest")), { waitAtMostMs: 1 }))).toBeInstanceOf(Refused);
    let leave = (): void => {};
    const gone = refusal(() => enter(asks(someone("modest")), { onGone: (fn) => (leave = fn) }));
    leave();
    expect(await gone).toBeInstanceOf(Refused);
    expect(control.levels.get("few")).toMatchObject({ waiting: 0, waitingSeats: 0, seatsInUse: 1 });
    held.release();
    held.release();
    expect(control.levels.get("few")).toMatchObject({ seatsInUse: 0, isIdle: true });
  });

  test("refusals are answered at once while they are few, and at a measured pace when they are many", () => {
    const pace = new Pace();
    const delays = Array.from({ length: 1050 }, () => pace.delayMs(5000));
    expect(delays.filter((delay) => delay === 0)).toHaveLength(50);
    expect(delays.at(-1)).toBe(2000);
    expect(Math.max(...Array.from({ length: 100_000 }, () => pace.delayMs(5000)))).toBe(10_000);
    expect(pace.delayMs(1e9)).toBe(0);
  });

  test("a level that rejects has no queue", async () => {
    const { enter } = aServer({ ...alone, levels: [limited("few", 10_000, { limitResponse: { type: "Reject" } })] });
    for (let count = 0; count < 10; count++) enter(asks(someone("greedy")));
    expect(await refusal(() => enter(asks(someone("greedy"))))).toBeInstanceOf(Refused);
  });

  test("exempt requests are never counted against anybody", () => {
    const { enter } = aServer({ seats: 1 });
    for (let count = 0; count < 1000; count++) expect(enter(asks(someone("root", "system:masters")))).not.toBeInstanceOf(Promise);
  });

  test("a request larger than its level runs alone", async () => {
    const { enter } = aServer({ ...alone, levels: [limited("few", 10_000, { limitResponse: { type: "Reject" } })] });
    const wide = enter(asks(someone("greedy")), { seats: 100 }) as Seat;
    expect(await refusal(() => enter(asks(someone("greedy"))))).toBeInstanceOf(Refused);
    wide.release();
    expect(enter(asks(someone("greedy")))).not.toBeInstanceOf(Promise);
  });

  test("a turn that took long leaves the rest to the next one, where everybody gets their say", async () => {
    const { enter, clock } = aServer({ ...alone, seats: 100, budgetMs: 10 });
    const order: string[] = [];
    const served = (name: string) => (seat: Seat): void => {
      order.push(name);
      clock.ms += 4;
      seat.release();
    };
    const all = Array.from({ length: 40 }, () => {
      clock.ms += 1;
      const entered = enter(asks(someone("greedy")));
      if (!(entered instanceof Promise)) served("greedy")(entered);
      return entered instanceof Promise ? entered.then(served("greedy")) : undefined;
    });
    const modest = enter(asks(someone("modest")));
    expect(modest).toBeInstanceOf(Promise);
    await Promise.all([...all, (modest as Promise<Seat>).then(served("modest"))]);
    expect(order).toHaveLength(41);
    expect(order.indexOf("modest")).toBeLessThan(20);
  });

  test("a level that is taken away serves those who wait, then it is gone", async () => {
    const { enter, control } = aServer({ ...alone, seats: 1 });
    const held = enter(asks(someone("greedy"))) as Seat;
    const waiting = enter(asks(someone("greedy"))) as Promise<Seat>;
    control.configure(flowConfig(DEFAULTS.levels, DEFAULTS.schemas));
    expect(control.levels.get("few")?.isQuiescing).toBe(true);
    held.release();
    (await waiting).release();
    expect(control.levels.has("few")).toBe(false);
  });

  test("how much of a level was in use for how long shows in its histograms, in nanoseconds", () => {
    const { clock, control, enter } = aServer({ ...alone, seats: 10 });
    const limit = control.levels.get("few")?.limit as number;
    clock.ms += 5;
    const held = enter(asks(someone("greedy"))) as Seat;
    clock.ms += 10;
    held.release();
    clock.ms += 5;
    const lines = new Set(control.text().split("\n"));
    const has = (line: string): boolean => lines.has(`apiserver_flowcontrol_${line}`);
    expect(has('priority_level_seat_utilization_bucket{phase="executing",priority_level="few",le="0"} 10000000')).toBe(true);
    expect(has('priority_level_seat_utilization_bucket{phase="executing",priority_level="few",le="1"} 20000000')).toBe(true);
    expect(has(`priority_level_seat_utilization_sum{phase="executing",priority_level="few"} ${(10 / limit) * 1e6}`)).toBe(true);
    expect(has('demand_seats_count{priority_level="few"} 20000000')).toBe(true);
    expect(has('priority_level_request_utilization_bucket{phase="waiting",priority_level="few",le="0"} 20000000')).toBe(true);
    expect(has('read_vs_write_current_requests_bucket{phase="executing",request_kind="readOnly",le="0"} 10000000')).toBe(true);
  });

  test("where queues are in virtual time shows, in seat-seconds", async () => {
    const { clock, control, enter } = aServer({ ...alone, seats: 1 });
    const held = enter(asks(someone("greedy"))) as Seat;
    const next = enter(asks(someone("modest")));
    clock.ms += 2000;
    held.release();
    (await next).release();
    const { dispatchR, nextS } = control.levels.get("few") as { dispatchR: number; nextS: object };
    expect(dispatchR).toBeGreaterThan(0);
    expect(nextS).toEqual({ min: 0, max: 0 });
    expect(control.text().split("\n")).toContain(`apiserver_flowcontrol_dispatch_r{priority_level="few"} ${dispatchR / 1000}`);
    expect(control.text().split("\n").includes('apiserver_flowcontrol_next_discounted_s_bounds{bound="min",priority_level="few"} 0')).toBe(true);
  });
});
