import { expect, test } from "bun:test";
import { type ContainerdFacts, containerdConfig } from "./config.ts";
import { containerdPaths } from "./private.ts";
import { criSignal } from "./signals.ts";

const FACTS: ContainerdFacts = {
  majorVersion: 1, socketPath: "/d/containerd.sock", rootDir: "/d/root", stateDir: "/d/state", cniBinDir: "/d/cni/bin", cniConfDir: "/d/cni/net.d", registryConfigDir: "/etc/containerd/certs.d",
  sandboxImage: "minik8s.io/pause:1", snapshotter: "overlayfs", cgroupDriver: "cgroupfs", restrictOomScoreAdj: false, hasApparmor: false,
};

test("containerd 1.x gets its CRI plugin's settings in one place", () => {
  const config = Bun.TOML.parse(containerdConfig(FACTS)) as Record<string, any>;
  const cri = config.plugins["io.containerd.grpc.v1.cri"];
  expect(config).toMatchObject({ version: 2, root: "/d/root", state: "/d/state", oom_score: -999, grpc: { address: "/d/containerd.sock" }, timeouts: { "io.containerd.timeout.shim.load": "20s" } });
  expect(cri).toMatchObject({ sandbox_image: "minik8s.io/pause:1", stream_server_address: "127.0.0.1", restrict_oom_score_adj: false, disable_apparmor: true, disable_hugetlb_controller: false, tolerate_missing_hugetlb_controller: true, cni: { bin_dir: "/d/cni/bin", conf_dir: "/d/cni/net.d" } });
  expect(cri.containerd).toMatchObject({ snapshotter: "overlayfs", runtimes: { runc: { runtime_type: "io.containerd.runc.v2", options: { SystemdCgroup: false } } } });
});

test("containerd 2.x has them in three", () => {
  const config = Bun.TOML.parse(containerdConfig({ ...FACTS, majorVersion: 2, cgroupDriver: "systemd" })) as Record<string, any>;
  expect(config.version).toBe(3);
  expect(config.plugins["io.containerd.cri.v1.images"]).toMatchObject({ snapshotter: "overlayfs", pinned_images: { sandbox: "minik8s.io/pause:1" } });
  expect(config.plugins["io.containerd.cri.v1.runtime"]).toMatchObject({ cni: { conf_dir: "/d/cni/net.d" }, containerd: { runtimes: { runc: { options: { SystemdCgroup: true } } } } });
  expect(config.plugins["io.containerd.grpc.v1.cri"]).toMatchObject({ stream_server_address: "127.0.0.1" });
});

test("where the kernel refuses to lower oom_score_adj, neither containerd nor its containers ask for it", () => {
  const config = Bun.TOML.parse(containerdConfig({ ...FACTS, restrictOomScoreAdj: true })) as Record<string, any>;
  expect([config.oom_score, config.plugins["io.containerd.grpc.v1.cri"].restrict_oom_score_adj]).toEqual([0, true]);
});

test("the socket lies below the data directory, unless its path would be too long for the kernel", () => {
  expect(containerdPaths("/var/lib/minik8s/agent").socket).toBe("/var/lib/minik8s/agent/containerd/containerd.sock");
  const deep = containerdPaths(`/${"very/long/".repeat(12)}data`).socket;
  expect(deep).toStartWith("/run/minik8s/");
  expect(deep.length).toBeLessThan(100);
});

test("stop signals have CRI's numbers", () => {
  expect(["SIGTERM", "SIGKILL", "SIGRTMIN", "SIGRTMIN+3", "SIGRTMAX-1", "SIGRTMAX", "SIGNONE"].map(criSignal)).toEqual([23, 13, 35, 38, 64, 65, 0]);
});
