// A process for `crash.test.ts` to kill: writes without pause and says on stdout what was acknowledged.
import { writeSync } from "node:fs";
import { openLevelStore } from "./level.ts";

const [directory, round] = process.argv.slice(2) as [string, string];
const store = await openLevelStore(directory, { window: { maxChanges: 200, maxAgeMs: 3_600_000 } });
const WRITERS = 16;
const STDOUT = 1;

/** The value says which write it is and repeats it, so that a torn one shows. */
const valueOf = (id: string): Uint8Array => Buffer.from(`${id}|${id.repeat(40)}`);

/** Whole lines, also while the reader is behind and the pipe is full. */
function say(line: string): void {
  for (let rest = Buffer.from(line); rest.length > 0; ) {
    try {
      rest = rest.subarray(writeSync(STDOUT, rest));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
      Bun.sleepSync(1);
    }
  }
}

async function write(writer: number): Promise<never> {
  for (let i = 0; ; i++) {
    const key = `/crash/${writer}/${i % 5}`;
    const id = `${round}.${writer}.${i}`;
    const isDelete = i % 7 === 6;
    const revision = await store.write({ key, value: isDelete ? undefined : valueOf(id) });
    say(`${key} ${isDelete ? "-" : id} ${revision}\n`);
    if (i % 50 === 49) await store.compact();
  }
}

await Promise.all(Array.from({ length: WRITERS }, (_, writer) => write(writer)));
