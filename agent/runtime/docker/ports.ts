// A connection to a port of a pod, made from inside the pod's network so that its loopback is reached too.
// Which pod, and whether it has a network of its own, is the caller's.
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { Duplex, type Readable, type Writable } from "node:stream";
import { RuntimeError } from "../runtime.ts";

const MAX_COMPLAINT_CHARACTERS = 512;

/** Connects in the network namespace of a process; the stream fails with what the connecting program says. */
export function throughNamespace(pid: number, port: number): Duplex {
  if (Bun.which("socat") === null) throw new RuntimeError("Unavailable", "port-forward with Docker needs socat; install it with: apt-get install -y socat");
  return new ProgramStream(["nsenter", "-t", String(pid), "-n", "socat", "-", `TCP4:localhost:${port}`], `failed to connect to localhost:${port}`);
}

/** A program's standard streams as one. It ends with the program's output; what is written after that goes nowhere. */
export class ProgramStream extends Duplex {
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;

  /** `failure` goes before what a failing program says. */
  constructor([program, ...args]: readonly string[], failure: string) {
    super({ allowHalfOpen: true });
    const child = (this.#child = spawn(program as string, args, { stdio: ["pipe", "pipe", "pipe"] }));
    let complaint = "";
    child.stdin.on("error", () => {});
    child.stderr.on("data", (chunk: Buffer) => (complaint = (complaint + chunk.toString()).slice(-MAX_COMPLAINT_CHARACTERS)));
    child.stdout.on("data", (chunk: Buffer) => {
      if (!this.push(chunk)) child.stdout.pause();
    });
    const exited = new Promise<number | null>((resolve) => child.once("exit", resolve));
    // Whether that was all is known once the program is gone, which may be told before its last output.
    child.stdout.once("end", () => void exited.then((code) => this.#finish(code === 0 || complaint === "" ? undefined : `${failure}: ${complaint.trim()}`)));
    child.once("error", (error) => this.destroy(new RuntimeError("Unavailable", error.message, { cause: error })));
  }

  override _read(): void {
    this.#child.stdout.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    const { stdin } = this.#child;
    if (!stdin.writable) return done();
    stdin.write(chunk, () => done());
  }

  override _final(done: () => void): void {
    this.#child.stdin.end();
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#child.kill();
    done(error);
  }

  #finish(failure: string | undefined): void {
    if (failure === undefined) this.push(null);
    else this.destroy(new RuntimeError("Unavailable", failure));
  }
}
