// The patience of tests that wait for real processes, on a machine that may be busy with others' tests.
// For tests only.

/** How long a test waits for what other processes bring about: whatever comes later than this does not come. */
export const PATIENCE_MS = 90_000;

/** Milliseconds a test may take, of real processes or on a machine with no time for it, several waits of it included. */
export const TEST_TIMEOUT_MS = 240_000;

/** The first truthy thing `probe` gives; throws with what it gave or threw last when patience is over. */
export async function eventually<T>(what: string, probe: () => T | Promise<T>, everyMs = 25): Promise<Exclude<NonNullable<T>, false>> {
  const deadline = Date.now() + PATIENCE_MS;
  let last: unknown;
  do {
    try {
      last = await probe();
      if (last) return last as Exclude<NonNullable<T>, false>;
    } catch (error) {
      last = error;
    }
    await Bun.sleep(everyMs);
  } while (Date.now() < deadline);
  throw new Error(`${what}: not within ${PATIENCE_MS / 1000} s; last: ${last instanceof Error ? last.message : JSON.stringify(last)}`, { cause: last });
}

/** Asks until the answer is the wanted one; throws as `eventually` does. */
export async function becomes<T>(wanted: T, ask: () => T | Promise<T>, everyMs?: number): Promise<void> {
  let last: T | undefined;
  await eventually(`the answer ${JSON.stringify(wanted)}`, async () => Bun.deepEquals((last = await ask()), wanted), everyMs).catch((error: unknown) => {
    throw new Error(`${(error as Error).message}; answered ${JSON.stringify(last)}`, { cause: error });
  });
}
