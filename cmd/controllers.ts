// Controllers and scheduler of this control plane, each acting through a client of its own identity.
import { createScheduler } from "../control/scheduler/scheduler.ts";
import { systemClock } from "../lib/clock.ts";
import type { Pki } from "../control/pki/pki.ts";
import { controlUser, type Api } from "./apiserver.ts";
import type { Values } from "./flags.ts";

/** Starts every controller that is enabled, and the scheduler. */
export function startControllers({ api, signal }: { values: Values; api: Api; pki: Pki; signal: AbortSignal }): void {
  const scheduler = createScheduler({ client: api.server.localClient(controlUser("system:kube-scheduler")), informers: api.informers, clock: systemClock, recorder: { event: () => {} } });
  scheduler.start(signal);
}
