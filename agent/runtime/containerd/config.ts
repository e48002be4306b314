// The configuration file of our own containerd, as text from facts about the machine.
// Finding those facts out and running the process is `private.ts` and `machine.ts`.

/** What the configuration depends on; paths are absolute. */
export interface ContainerdFacts {
  readonly majorVersion: number;
  readonly socketPath: string;
  readonly rootDir: string;
  readonly stateDir: string;
  readonly cniBinDir: string;
  readonly cniConfDir: string;
  readonly registryConfigDir: string;
  readonly sandboxImage: string;
  readonly snapshotter: "overlayfs" | "native";
  readonly cgroupDriver: "cgroupfs" | "systemd";
  /** The kernel refuses to lower oom_score_adj, so containers get no lower one than containerd's. */
  readonly restrictOomScoreAdj: boolean;
  readonly hasApparmor: boolean;
}

/** Kubernetes' and containerd's common default; longer lines are split into partial ones. */
const MAX_LOG_LINE_BYTES = 16 * 1024;
/** Plugins that only cost start-up time, or that make directories on the host. */
const DISABLED = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.blockfile", "io.containerd.snapshotter.v1.erofs", "io.containerd.internal.v1.opt", "io.containerd.internal.v1.tracing", "io.containerd.tracing.processor.v1.otlp", "io.containerd.nri.v1.nri"];
/** containerd's own are 2 to 5 s. On a machine that is busier than that it takes healthy shims for dead when it comes back, kills their pods and forgets them. */
const TIMEOUTS = { '"io.containerd.timeout.shim.load"': "20s", '"io.containerd.timeout.shim.cleanup"': "30s", '"io.containerd.timeout.shim.shutdown"': "15s", '"io.containerd.timeout.task.state"': "15s" };

/** config.toml: version 2 for containerd 1.x, version 3 for 2.x. */
export function containerdConfig(facts: ContainerdFacts): string {
  const { majorVersion, rootDir, stateDir, socketPath, restrictOomScoreAdj } = facts;
  const head = [
    "# Written by minik8s; changes are lost.",
    `version = ${majorVersion >= 2 ? 3 : 2}`,
    `root = ${quote(rootDir)}`,
    `state = ${quote(stateDir)}`,
    `oom_score = ${restrictOomScoreAdj ? 0 : -999}`,
    `disabled_plugins = [${DISABLED.map(quote).join(", ")}]`,
    ...table("grpc", { address: socketPath, max_recv_message_size: 64 << 20, max_send_message_size: 64 << 20 }),
    ...table("debug", { level: "warn" }),
    ...table("timeouts", TIMEOUTS),
  ];
  return `${[...head, ...(majorVersion >= 2 ? version3(facts) : version2(facts))].join("\n")}\n`;
}

function version2(facts: ContainerdFacts): string[] {
  const cri = `plugins."io.containerd.grpc.v1.cri"`;
  return [
    ...table(cri, { sandbox_image: facts.sandboxImage, enable_unprivileged_ports: true, enable_unprivileged_icmp: true, device_ownership_from_security_context: true, netns_mounts_under_state_dir: true, ...stream, ...runtimeSettings(facts) }),
    ...table(`${cri}.containerd`, { snapshotter: facts.snapshotter, default_runtime_name: "runc", discard_unpacked_layers: true }),
    ...runc(`${cri}.containerd`, facts),
    ...table(`${cri}.cni`, { bin_dir: facts.cniBinDir, conf_dir: facts.cniConfDir, max_conf_num: 1 }),
    ...table(`${cri}.registry`, { config_path: facts.registryConfigDir }),
  ];
}

function version3(facts: ContainerdFacts): string[] {
  const images = `plugins."io.containerd.cri.v1.images"`;
  const runtime = `plugins."io.containerd.cri.v1.runtime"`;
  return [
    ...table(images, { snapshotter: facts.snapshotter, discard_unpacked_layers: true }),
    ...table(`${images}.pinned_images`, { sandbox: facts.sandboxImage }),
    ...table(`${images}.registry`, { config_path: facts.registryConfigDir }),
    ...table(runtime, { enable_unprivileged_ports: true, enable_unprivileged_icmp: true, device_ownership_from_security_context: true, netns_mounts_under_state_dir: true, ...runtimeSettings(facts) }),
    ...table(`${runtime}.containerd`, { default_runtime_name: "runc" }),
    ...runc(`${runtime}.containerd`, facts),
    ...table(`${runtime}.cni`, { bin_dir: facts.cniBinDir, conf_dir: facts.cniConfDir, max_conf_num: 1 }),
    ...table(`plugins."io.containerd.grpc.v1.cri"`, stream),
  ];
}

/** Streams are served on loopback only: the agent is their only client. */
const stream = { stream_server_address: "127.0.0.1", stream_server_port: "0" };

function runtimeSettings(facts: ContainerdFacts): Record<string, Value> {
  // Left to itself it forgets the huge pages a container is limited to.
  return { disable_hugetlb_controller: false, tolerate_missing_hugetlb_controller: true, max_container_log_line_size: MAX_LOG_LINE_BYTES, restrict_oom_score_adj: facts.restrictOomScoreAdj, disable_apparmor: !facts.hasApparmor };
}

function runc(parent: string, facts: ContainerdFacts): string[] {
  return [...table(`${parent}.runtimes.runc`, { runtime_type: "io.containerd.runc.v2" }), ...table(`${parent}.runtimes.runc.options`, { SystemdCgroup: facts.cgroupDriver === "systemd" })];
}

type Value = string | number | boolean;

function table(name: string, values: Record<string, Value>): string[] {
  return ["", `[${name}]`, ...Object.entries(values).map(([key, value]) => `${key} = ${typeof value === "string" ? quote(value) : String(value)}`)];
}

/** A TOML basic string; JSON's escapes are a subset of TOML's. */
function quote(value: string): string {
  return JSON.stringify(value);
}
