// The life of a long-running part: started in order, stopped in reverse.

/** A part of a process. `start` resolves once the part serves; `stop` is safe to call twice. */
export interface Component {
  readonly name: string;
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** Starts components in order; a failure stops those already started, in reverse, and is rethrown. */
export async function startAll(components: readonly Component[], onStarted?: (name: string, ms: number) => void): Promise<() => Promise<void>> {
  const started: Component[] = [];
  const stopAll = async (): Promise<void> => {
    for (const component of started.splice(0).reverse()) await component.stop();
  };
  for (const component of components) {
    const begin = performance.now();
    try {
      await component.start();
    } catch (error) {
      await stopAll();
      throw error;
    }
    started.push(component);
    onStarted?.(component.name, performance.now() - begin);
  }
  return stopAll;
}
