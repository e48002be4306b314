import { expect, test } from "bun:test";
import { aNode, aPod, NODE, POD } from "../fakes.ts";
import { nodeOf, settle, start } from "../harness.ts";

const FEATURE = "RestartAllContainersOnContainerExits";
const aNodeThatCan = (name: string, ...declaredFeatures: string[]): ReturnType<typeof aNode> => {
  const node = aNode(name);
  return { ...node, status: { ...node.status, declaredFeatures } };
};
const needy = (name: string): ReturnType<typeof aPod> =>
  aPod(name, { spec: { containers: [{ name: "c", image: "i", restartPolicyRules: [{ action: "RestartAllContainers", exitCodes: { operator: "In", values: [1] } }] }] } });

test("a pod that needs what only some nodes can do goes to one that declares it, whatever else speaks for others", async () => {
  const { api } = start();
  api.put(NODE, aNodeThatCan("old"));
  api.put(NODE, aNodeThatCan("new", "ExtendWebSocketsToKubelet", FEATURE));
  for (let i = 0; i < 4; i++) api.put(POD, needy(`p${i}`));
  await settle();
  expect([0, 1, 2, 3].map((i) => nodeOf(api.pod(`default/p${i}`)))).toEqual(["new", "new", "new", "new"]);
});

test("where no node declares it the pod says so and comes back when one does", async () => {
  const { api, clock } = start();
  api.put(NODE, aNodeThatCan("n", "ExtendWebSocketsToKubelet"));
  api.put(POD, needy("p"));
  api.put(POD, aPod("plain"));
  await settle();
  expect(nodeOf(api.pod("default/plain"))).toBe("n");
  expect(api.pod("default/p").status?.conditions?.[0]?.message).toBe("0/1 nodes are available: 1 node(s) didn't match Pod's required features. no new claims to deallocate, preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.");
  api.put(NODE, aNodeThatCan("n", FEATURE));
  await clock.advance(2000);
  await settle();
  expect(nodeOf(api.pod("default/p"))).toBe("n");
});
