// Reads YAML that comes from outside without holding up anybody else: in a thread, one text after the other, each for a limited time.
// A few hundred bytes can keep a YAML parser busy for minutes; whoever sends such is refused and the thread replaced.
import { Worker } from "node:worker_threads";
import { badRequest, tooManyRequests } from "../../../api/errors.ts";
import type { YamlReading } from "./yaml.ts";

const PATIENCE_MS = 10_000;
const IDLE_MS = 60_000;
const MAX_WAITING = 100;

class YamlReader {
  #worker: Worker | undefined;
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;
  #idle: Timer | undefined;

  /** Reads one document; throws 400 for one that takes too long, 429 when too many wait. */
  async read(text: string): Promise<YamlReading> {
    if (this.#waiting >= MAX_WAITING) throw tooManyRequests("too many YAML documents are being read, please try again later", 1);
    this.#waiting++;
    clearTimeout(this.#idle);
    const reading = this.#last.then(() => this.#one(text));
    this.#last = reading.catch(() => {});
    try {
      return await reading;
    } finally {
      if (--this.#waiting === 0) this.#idle = setTimeout(() => this.#end(), IDLE_MS).unref();
    }
  }

  #one(text: string): Promise<YamlReading> {
    const worker = (this.#worker ??= start());
    return new Promise((resolve, reject) => {
      const done = (): void => {
        clearTimeout(timer);
        worker.removeAllListeners("message");
        worker.removeAllListeners("error");
      };
      const fail = (why: string): void => {
        done();
        this.#end();
        reject(badRequest(`error converting YAML to JSON: yaml: ${why}`));
      };
      const timer = setTimeout(() => fail("the document takes too long to read"), PATIENCE_MS);
      worker.once("message", (reading: YamlReading) => {
        done();
        resolve(reading);
      });
      worker.once("error", () => fail("the document cannot be read"));
      // A thread's port has no origin to name.
      // oxlint-disable-next-line unicorn/require-post-message-target-origin
      worker.postMessage(text);
    });
  }

  #end(): void {
    void this.#worker?.terminate();
    this.#worker = undefined;
  }
}

/** In the executable every entry point stands under its own path, whichever chunk this became part of. */
function start(): Worker {
  const isBuilt = import.meta.path.startsWith("/$bunfs/");
  const worker = new Worker(isBuilt ? "/$bunfs/root/control/apiserver/http/yaml-worker.js" : new URL("./yaml-worker.ts", import.meta.url));
  // It keeps no process from ending.
  worker.unref();
  return worker;
}

const reader = new YamlReader();

/** Reads one YAML document; throws 400 for one that takes too long, 429 when too many wait. */
export function readYamlApart(text: string): Promise<YamlReading> {
  return reader.read(text);
}
