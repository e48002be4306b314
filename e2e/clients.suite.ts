// The client libraries of two languages, unchanged, against a cluster with a node: what each does is in clients/.
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { Kubectl, must } from "./support.ts";

const FLOWS = join(import.meta.dir, "clients");
const SYSTEM_PYTHON = "/usr/bin/python3";
const ACCOUNT = "flows";
/** More than a flow that hangs is given, so that it is the flow that tells where. */
const FLOWS_MS = 200_000;
const TEST_MS = FLOWS_MS + 40_000;

/** List, watch, informer, every kind of patch, apply, exec, log and port-forward, with each client. */
export function describeClients(kubeconfig: string): void {
  const admin = new Kubectl(kubeconfig);

  /** The JavaScript client's runtime takes tokens and trusts authorities by environment; certificates it does not present. */
  async function tokenConfig(): Promise<{ path: string; authority: string }> {
    const [path, authority] = [`${kubeconfig}.token`, `${kubeconfig}.ca`];
    await admin.run("create", "serviceaccount", ACCOUNT, "-n", "kube-system");
    await admin.run("create", "clusterrolebinding", ACCOUNT, "--clusterrole=cluster-admin", `--serviceaccount=kube-system:${ACCOUNT}`);
    const { status: { token } } = JSON.parse(await admin.post(`/api/v1/namespaces/kube-system/serviceaccounts/${ACCOUNT}/token`, { spec: {} })) as { status: { token: string } };
    const [server, data] = (await admin.run("config", "view", "--raw", "-o", "jsonpath={.clusters[0].cluster.server} {.clusters[0].cluster.certificate-authority-data}")).split(" ");
    await Bun.write(authority, Buffer.from(data as string, "base64"));
    const config = {
      apiVersion: "v1", kind: "Config", "current-context": "c", contexts: [{ name: "c", context: { cluster: "c", user: "u" } }],
      clusters: [{ name: "c", cluster: { server, "certificate-authority-data": data } }], users: [{ name: "u", user: { token } }],
    };
    await Bun.write(path, JSON.stringify(config));
    return { path, authority };
  }

  describe("client libraries", () => {
    test("JavaScript lists, watches, informs, patches, applies, executes, follows logs and forwards ports", async () => {
      const { path, authority } = await tokenConfig();
      const done = await must([process.execPath, join(FLOWS, "flows.ts"), path], { timeoutMs: FLOWS_MS, env: { NODE_EXTRA_CA_CERTS: authority } });
      expect(done.trim().split("\n")).toEqual(["list", "watch", "informer", "patch", "apply", "pod", "exec", "log", "portForward", "delete"]);
    }, TEST_MS);

    test("Python lists, watches, informs, patches, applies, executes, follows logs and forwards ports", async () => {
      const done = await must([SYSTEM_PYTHON, join(FLOWS, "flows.py"), kubeconfig], { timeoutMs: FLOWS_MS });
      expect(done.trim().split("\n")).toEqual(["list", "watch", "informer", "patch", "apply", "pod", "exec", "log", "port_forward", "delete"]);
    }, TEST_MS);
  });
}
