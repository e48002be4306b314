// The node's HTTPS API with what it asks others: who may call it, which pods there are, what its pages show.
import type { Client } from "../api/client/client.ts";
import type { NodeIdentity } from "../agent/kubelet/join.ts";
import type { Kubelet } from "../agent/kubelet/kubelet.ts";
import type { Runtime } from "../agent/runtime/runtime.ts";
import { expiryOf, type RotatingCertificate } from "../agent/kubelet/identity.ts";
import { restFigures } from "../api/client/restfigures.ts";
import { certificateMetrics, type CertificateFigures } from "../agent/kubelet/metrics.ts";
import { kubeletPages } from "../agent/kubelet/pages.ts";
import { DelegatedAuthority } from "../agent/server/delegated.ts";
import { NodeServer, type ServingCertificate } from "../agent/server/server.ts";
import { systemClock } from "../lib/clock.ts";
import type { Component } from "../lib/component.ts";
import { logger } from "../lib/log.ts";

const NODE_PORT = 10250;
const log = logger("node-server");

export interface NodeServerDeps {
  readonly identity: NodeIdentity;
  readonly client: Client;
  readonly kubelet: Kubelet;
  readonly runtime: Runtime;
  readonly nodeName: string;
  readonly signal: AbortSignal;
}

/** The node's API as a component; it serves as soon as the cluster has issued its certificate, without holding up the rest. */
export function createNodeServer(deps: NodeServerDeps): Component {
  let server: NodeServer | undefined;
  const begin = async (): Promise<void> => {
    const certificate = await firstCertificate(deps);
    if (!certificate) return;
    server = buildServer(deps, certificate);
    await server.start();
    log.info({ port: NODE_PORT }, "the node's API serves");
    deps.identity.serving.onChange(() => server?.setCertificate(servingOf(deps.identity) as ServingCertificate));
  };
  return {
    name: "node server",
    start: async () => void begin().catch((error: unknown) => log.error({ err: error }, "the node's API does not serve: logs and exec will not work")),
    stop: async () => server?.stop(),
  };
}

function buildServer({ identity, client, kubelet, runtime, nodeName }: NodeServerDeps, certificate: ServingCertificate): NodeServer {
  return new NodeServer({
    runtime, pods: kubelet.nodePods, certificate, clock: systemClock, address: "0.0.0.0", port: NODE_PORT, pages: kubeletPages(kubelet, () => certificateMetrics({ client: figuresOf(identity.client), serving: figuresOf(identity.serving) }, systemClock.now()) + restFigures()), health: {},
    onRequest: ({ method, path, isLongRunning, ms }) => countRequest(kubelet, { method, path, server_type: "readwrite", long_running: String(isLongRunning) }, ms),
    authority: new DelegatedAuthority({ client, caPem: identity.caPem, nodeName, clock: systemClock }),
  });
}

function countRequest({ node }: Kubelet, labels: Readonly<Record<string, string>>, ms: number): void {
  node.figures.count("kubelet_http_requests_total", labels);
  node.figures.observe("kubelet_http_requests_duration_seconds", ms / 1000, labels);
}

function figuresOf({ current, failures }: RotatingCertificate): CertificateFigures {
  return { expiresAt: current && expiryOf(current), failures };
}

async function firstCertificate({ identity, signal }: NodeServerDeps): Promise<ServingCertificate | undefined> {
  while (!signal.aborted) {
    const certificate = servingOf(identity);
    if (certificate) return certificate;
    await new Promise<void>((resolve) => {
      identity.serving.onChange(resolve);
      signal.addEventListener("abort", () => resolve(), { once: true });
    });
  }
  return undefined;
}

function servingOf({ serving }: NodeIdentity): ServingCertificate | undefined {
  return serving.current && { cert: serving.current.certPem, key: serving.current.keyPem };
}
