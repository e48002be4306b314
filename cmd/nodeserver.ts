// The node's HTTPS API with what it asks others: who may call it, which pods there are, what its pages show.
import { X509Certificate } from "node:crypto";
import type { Client } from "../api/client/client.ts";
import type { NodeIdentity } from "../agent/kubelet/join.ts";
import type { Kubelet } from "../agent/kubelet/kubelet.ts";
import type { Runtime } from "../agent/runtime/runtime.ts";
import { DelegatedAuthority } from "../agent/server/delegated.ts";
import { NodeServer } from "../agent/server/server.ts";
import { systemClock } from "../lib/clock.ts";
import type { Component } from "../lib/component.ts";

const NODE_PORT = 10250;

export interface NodeServerDeps {
  readonly identity: NodeIdentity;
  readonly client: Client;
  readonly kubelet: Kubelet;
  readonly runtime: Runtime;
  readonly nodeName: string;
  readonly signal: AbortSignal;
}
