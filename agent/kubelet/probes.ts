// A stand-in without probes: every running container is started and ready.
import type { Probes } from "./services.ts";

/** Knows no probes; what runs is ready. */
export const noProbes: Probes = {
  track: () => undefined,
  terminating: () => undefined,
  untrack: () => undefined,
  health: () => ({ ready: true, started: true }),
  verdicts: () => new Map(),
};
