// What a start says while it works: one line a stage with the time it took; a terminal sees the stage while it runs.

/** Runs stages one after another, telling about each. */
export class Progress {
  readonly #live: boolean;
  readonly #begin = performance.now();

  constructor(readonly out: NodeJS.WriteStream = process.stderr) {
    this.#live = out.isTTY === true;
  }

  /** Runs one stage; its line shows the time, or that it failed before the error is rethrown. */
  async stage<T>(name: string, work: () => Promise<T>): Promise<T> {
    const begin = performance.now();
    const ticker = this.#live ? setInterval(() => this.out.write(`\r\x1b[K  … ${name} ${seconds(begin)}`), 100) : undefined;
    try {
      const result = await work();
      this.#finish("✓", name, begin);
      return result;
    } catch (error) {
      this.#finish("✗", name, begin);
      throw error;
    } finally {
      clearInterval(ticker);
    }
  }

  /** Time since the first stage, for a closing line. */
  get total(): string {
    return seconds(this.#begin);
  }

  #finish(mark: string, name: string, begin: number): void {
    this.out.write(`${this.#live ? "\r\x1b[K" : ""}  ${mark} ${name} (${seconds(begin)})\n`);
  }
}

function seconds(begin: number): string {
  return `${((performance.now() - begin) / 1000).toFixed(1)} s`;
}
