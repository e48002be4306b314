// Waiting for the operator: the first signal asks for an orderly end, the second ends at once.

/** Resolves at the first SIGTERM or SIGINT; another one exits immediately. */
export function untilSignal(): Promise<void> {
  return new Promise((resolve) => {
    for (const name of ["SIGTERM", "SIGINT"] as const) {
      process.once(name, () => {
        resolve();
        process.once(name, () => process.exit(1));
      });
    }
  });
}
