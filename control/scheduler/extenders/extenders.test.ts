import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { becomes, TEST_TIMEOUT_MS } from "../../../lib/testing.ts";
import { readSchedulerConfig } from "../configfile.ts";
import { aNode, aPod, NODE, POD, type FakeApi } from "../fakes.ts";
import { nodeOf, start } from "../harness.ts";

/** What an extender is asked and answers, by verb; fields as the wire has them. */
// oxlint-disable-next-line no-explicit-any
type Answers = Readonly<Record<string, (body: any) => unknown>>;

setDefaultTimeout(TEST_TIMEOUT_MS);

const servers: Bun.Server<undefined>[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop(true);
});

function startWith(more: string, answers: Answers): ReturnType<typeof start> & { asked: string[] } {
  const asked: string[] = [];
  const server = Bun.serve({
    port: 0, hostname: "127.0.0.1",
    fetch: async (request) => {
      const verb = new URL(request.url).pathname.slice(1);
      asked.push(verb);
      const answer = answers[verb]?.(await request.json());
      return answer === undefined ? new Response("", { status: 500 }) : Response.json(answer);
    },
  });
  servers.push(server);
  const verbs = Object.keys(answers).map((verb) => `${verb}Verb: ${verb}`).join(", ");
  const config = readSchedulerConfig(`apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\nextenders: [{urlPrefix: "http://127.0.0.1:${server.port}/", ${verbs}${more}}]\n`);
  return { ...start({ config }), asked };
}

const place = (api: FakeApi, name: string): string | undefined => nodeOf(api.pod(`default/${name}`));
const why = (api: FakeApi, name: string): string | undefined => api.pod(`default/${name}`).status?.conditions?.find((c) => c.type === "PodScheduled")?.message;
const names = (body: { NodeNames: string[] }): string[] => body.NodeNames;

test("an extender narrows the nodes, and its scores outweigh those from inside", async () => {
  const { api } = startWith(", weight: 100, nodeCacheCapable: true", {
    filter: (body) => ({ nodeNames: names(body).filter((name) => name !== "a"), failedNodes: { a: "not this one" } }),
    prioritize: (body) => names(body).map((Host) => ({ Host, Score: Host === "c" ? 10 : 0 })),
  });
  for (const name of ["a", "b", "c"]) api.put(NODE, aNode(name));
  api.put(POD, aPod("busy", { cpu: "2", spec: { nodeName: "c" } }));
  api.put(POD, aPod("p", { cpu: "100m" }));
  await becomes("c", () => place(api, "p"));
});

test("one that does not know the nodes is told all of them, and gives back those that are left", async () => {
  const { api } = startWith("", { filter: ({ Pod, Nodes }) => ({ Nodes: { items: Nodes.items.filter((node: { metadata: { name: string } }) => node.metadata.name === Pod.metadata.labels.only) } }) });
  for (const name of ["a", "b"]) api.put(NODE, aNode(name));
  api.put(POD, aPod("p", { labels: { only: "b" } }));
  await becomes("b", () => place(api, "p"));
});

test("a pod it refuses everywhere says what it said, and is tried again when anything happens", async () => {
  let isOpen = false;
  const { api, clock } = startWith(", nodeCacheCapable: true", { filter: (body) => (isOpen ? { NodeNames: names(body) } : { NodeNames: [], FailedAndUnresolvableNodes: { a: "closed" } }) });
  api.put(NODE, aNode("a"));
  api.put(POD, aPod("p"));
  await becomes("0/1 nodes are available: 1 closed. no new claims to deallocate, preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.", () => why(api, "p"));
  isOpen = true;
  api.put(NODE, aNode("a", { labels: { some: "change" } }));
  await clock.advance(11_000);
  await becomes("a", () => place(api, "p"));
});

test("without an answer the pod waits, unless the extender may be ignored", async () => {
  const strict = startWith("", { filter: () => undefined });
  strict.api.put(NODE, aNode("a"));
  strict.api.put(POD, aPod("p"));
  await becomes("failed filter with extender at URL http://127.0.0.1/filter, code 500", () => why(strict.api, "p")?.replace(/:\d+/, ""));
  const lenient = startWith(", ignorable: true", { filter: () => undefined });
  lenient.api.put(NODE, aNode("a"));
  lenient.api.put(POD, aPod("p"));
  await becomes("a", () => place(lenient.api, "p"));
});

test("it is asked only about pods that want what it manages, which nobody else looks at", async () => {
  const { api, asked } = startWith(", nodeCacheCapable: true, managedResources: [{name: example.com/widget, ignoredByScheduler: true}]", { filter: (body) => ({ NodeNames: names(body) }) });
  api.put(NODE, aNode("a"));
  api.put(POD, aPod("plain"));
  await becomes("a", () => place(api, "plain"));
  expect(asked).toEqual([]);
  api.put(POD, aPod("special", { spec: { containers: [{ name: "c", image: "i", resources: { requests: { "example.com/widget": "3" } } }] } }));
  await becomes("a", () => place(api, "special"));
  expect(asked).toEqual(["filter"]);
});

test("one that binds does so in the scheduler's place, and a refusal leaves the pod waiting", async () => {
  const bound: unknown[] = [];
  const { api } = startWith("", { bind: ({ PodName, PodNamespace, PodUID, Node }) => (PodName === "bad" ? { Error: "no" } : (bound.push([PodNamespace, PodName, PodUID, Node]), {})) });
  api.put(NODE, aNode("a"));
  api.put(POD, aPod("good"));
  api.put(POD, aPod("bad"));
  await becomes([["default", "good", "uid-default-good", "a"]], () => bound);
  await becomes("binding rejected: no", () => why(api, "bad"));
  expect(place(api, "good")).toBeUndefined();
});

test("it has the last word on whom to remove for a more important pod", async () => {
  const { api } = startWith(", nodeCacheCapable: true", { preempt: ({ NodeNameToMetaVictims }) => ({ NodeNameToMetaVictims: { b: NodeNameToMetaVictims.b } }) });
  for (const name of ["a", "b"]) {
    api.put(NODE, aNode(name));
    api.put(POD, aPod(`on-${name}`, { cpu: "4", spec: { nodeName: name, priority: name === "a" ? 0 : 5 } }));
  }
  api.put(POD, aPod("vip", { cpu: "4", spec: { priority: 10 } }));
  await becomes("b", () => api.pod("default/vip").status?.nominatedNodeName);
  await becomes(["default/on-b"], () => api.deleted);
});
