// Every command of the executable as data: what it is called, what it takes, and the module that does it.
// Modules are imported when their command runs, so that a CNI call or `version` never loads a control plane.
import { checks, type Flag, type Values } from "./flags.ts";
import { LOG_LEVELS } from "../lib/log.ts";
import { REQUEST_FLAGS } from "./requestflags.ts";
import { TOKEN_FLAGS } from "./tokenflags.ts";

export interface Invocation {
  readonly values: Values;
  readonly positionals: readonly string[];
}

export interface Command {
  readonly name: string;
  readonly summary: string;
  /** Words after the flags, such as `create|list|delete`. */
  readonly words?: string;
  readonly flags: readonly Flag[];
  /** Returns the exit code. */
  readonly load: () => Promise<(invocation: Invocation) => Promise<number>>;
}

export const DEFAULT_DATA_DIR = "/var/lib/minik8s";

const DATA_DIR: Flag = { name: "data-dir", value: "DIR", default: DEFAULT_DATA_DIR, help: "where everything is kept" };
const KUBECONFIG: Flag = { name: "kubeconfig", value: "FILE", help: "admin kubeconfig to use instead of <data-dir>/admin.conf" };
const LOGGING: readonly Flag[] = [
  { name: "log-level", value: "LEVEL", default: "info", help: "least severe line to log", choices: LOG_LEVELS },
  { name: "log-format", value: "FORMAT", default: "auto", help: "human on a terminal, JSON otherwise", choices: ["auto", "human", "json"] },
];

const CLUSTER: readonly Flag[] = [
  { name: "cluster-cidr", value: "CIDR", default: "10.244.0.0/16", help: "addresses of pods", check: checks.cidr },
  { name: "service-cidr", value: "CIDR", default: "10.96.0.0/16", help: "addresses of services", check: checks.cidr },
  { name: "cluster-domain", value: "DOMAIN", default: "cluster.local", help: "DNS domain of the cluster" },
];

const KEY_FILE: Flag = { name: "encryption-key-file", value: "FILE", help: "where the keys for Secrets are kept instead of <data-dir>/pki/encryption-keys.json; not with etcd, which holds them sealed" };

const CONTROL: readonly Flag[] = [
  DATA_DIR,
  { name: "bind-address", value: "IP", default: "0.0.0.0", help: "address to listen on", check: checks.ip },
  { name: "advertise-address", value: "IP", help: "address others reach this control plane at; the default route's when left out", check: checks.ip },
  { name: "port", value: "PORT", default: "6443", help: "port of the API", check: checks.port },
  { name: "tls-san", value: "NAMES", help: "more names and addresses for the serving certificate, separated by commas" },
  ...CLUSTER,
  { name: "datastore", value: "STORE", default: "leveldb", help: "leveldb, memory, or etcd://host:2379,... which several control planes can share" },
  { name: "datastore-cafile", value: "FILE", help: "certificate authority of etcd; without it the connection is not encrypted" },
  { name: "datastore-certfile", value: "FILE", help: "certificate to show etcd" },
  { name: "datastore-keyfile", value: "FILE", help: "key of that certificate" },
  { name: "encrypt-secrets", help: "encrypt Secrets in the store; goes on until `minik8s secrets decrypt`" },
  KEY_FILE,
  { name: "controllers", value: "LIST", default: "*", help: "controllers to run, by upstream's names: * for all, name to add, -name to leave out" },
  { name: "scheduler-config", value: "FILE", help: "KubeSchedulerConfiguration: profiles, plugins and their weights" },
  ...TOKEN_FLAGS,
  ...REQUEST_FLAGS,
];

const NODE: readonly Flag[] = [
  { name: "runtime", value: "NAME", default: "auto", help: "container runtime", choices: ["auto", "containerd", "docker"] },
  { name: "runtime-endpoint", value: "SOCK", help: "socket of a running containerd, CRI-O or Docker to use instead of an own one" },
  { name: "node-name", value: "NAME", help: "name of the node; this machine's host name when left out", check: checks.nodeName },
  { name: "node-ip", value: "IP", help: "address of the node; the default route's when left out", check: checks.ip },
  { name: "node-labels", value: "K=V,...", help: "labels the node registers with" },
  { name: "kubelet-config", value: "FILE", help: "KubeletConfiguration: limits, reservations, eviction, shutdown and more, with upstream's names" },
  { name: "drain-on-stop", help: "when the agent is stopped, end the node's pods first, as when the machine shuts down" },
  { name: "registries", value: "DIR", default: "/etc/containerd/certs.d", help: "mirrors, certificates and plain-HTTP registries as containerd's hosts.toml files, for an own containerd" },
  { name: "image-credential-provider-config", value: "FILE", help: "CredentialProviderConfig: programs that know registry credentials" },
  { name: "image-credential-provider-bin-dir", value: "DIR", help: "where those programs are" },
];

const HOLLOW: readonly Flag[] = [
  { name: "hollow", value: "N", help: "run N simulated nodes instead of this one, as the cluster's admin", check: checks.count },
  { name: "hollow-start-latency", value: "DURATION", default: "0s", help: "how long a hollow node takes to start a pod" },
  { name: "hollow-failure-rate", value: "RATE", default: "0", help: "share of container starts that fail on hollow nodes, 0 to 1" },
  { ...KUBECONFIG, help: "for --hollow: admin kubeconfig to use instead of the one of the control plane on this machine" },
];

export const COMMANDS: readonly Command[] = [
  {
    name: "control", summary: "run a control plane: API server, store, scheduler, controllers",
    flags: [{ name: "init", help: "start a new cluster, or go on with the one in --data-dir" }, { name: "join", value: "URL", help: "add a control plane to the cluster at this URL (needs a shared --datastore)", check: checks.url }, { name: "token", value: "TOKEN", help: "what `minik8s token create --control-plane` printed; needed the first time only" }, ...CONTROL, ...LOGGING],
    load: async () => (await import("./control.ts")).runControl,
  },
  {
    name: "agent", summary: "run a node: kubelet, kube-proxy, pod network, cluster DNS",
    flags: [{ name: "join", value: "URL", help: "the control plane's URL", check: checks.url }, { name: "token", value: "TOKEN", help: "join token; needed the first time only" }, { ...DATA_DIR, default: `${DEFAULT_DATA_DIR}/agent` }, ...NODE, ...HOLLOW, ...LOGGING],
    load: async () => (await import("./agent.ts")).runAgent,
  },
  {
    name: "up", summary: "start a control plane and a node on this machine",
    flags: [{ name: "detach", help: "return once the node is Ready; both go on in the background" }, ...CONTROL, ...NODE, ...LOGGING],
    load: async () => (await import("./up.ts")).runUp,
  },
  {
    name: "down", summary: "stop what runs on this machine and take away containers, links and rules",
    flags: [{ name: "purge", help: "delete the data too" }, DATA_DIR],
    load: async () => (await import("./down.ts")).runDown,
  },
  { name: "status", summary: "show what runs here and how the cluster is", flags: [DATA_DIR, KUBECONFIG], load: async () => (await import("./status.ts")).runStatus },
  {
    name: "token", words: "create|list|delete [ID]", summary: "manage join tokens",
    flags: [{ name: "ttl", value: "DURATION", default: "24h", help: "how long a created token is good; 0 for ever" }, { name: "control-plane", help: "make a token another control plane can join with; it carries the key to this cluster's keys" }, DATA_DIR, KUBECONFIG],
    load: async () => (await import("./token.ts")).runToken,
  },
  {
    name: "secrets", words: "status|rotate|decrypt", summary: "how Secrets are encrypted in the store, with a new key, or no longer",
    flags: [{ name: "wait", help: "return only when nothing is left of older forms, in history and files either" }, DATA_DIR, KUBECONFIG],
    load: async () => (await import("./secrets.ts")).runSecrets,
  },
  {
    name: "kubeconfig", summary: "print the admin kubeconfig",
    flags: [{ name: "merge", help: "add it to ~/.kube/config as the current context instead" }, DATA_DIR],
    load: async () => (await import("./kubeconfig.ts")).runKubeconfig,
  },
  {
    name: "image", words: "load FILE...", summary: "put images from archives (docker save, OCI layout) into this node's runtime",
    flags: [{ ...DATA_DIR, default: `${DEFAULT_DATA_DIR}/agent` }, ...NODE.slice(0, 2)],
    load: async () => (await import("./image.ts")).runImage,
  },
  {
    name: "install-service", words: "control|agent [-- FLAGS]", summary: "write, enable and start a systemd unit",
    flags: [{ name: "remove", help: "stop, disable and delete the unit instead" }, { name: "unit-dir", value: "DIR", default: "/etc/systemd/system", help: "where units are kept" }],
    load: async () => (await import("./service.ts")).runInstallService,
  },
  { name: "version", summary: "print the version", flags: [], load: async () => (await import("./version.ts")).runVersion },
  { name: "completion", words: "bash|zsh|fish", summary: "print a shell completion script", flags: [], load: async () => (await import("./completion.ts")).runCompletion },
];
