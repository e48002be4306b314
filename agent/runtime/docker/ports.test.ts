import { expect, test } from "bun:test";
import { ProgramStream } from "./ports.ts";

const FAILURE = "failed to connect to localhost:80";
const shell = (script: string): ProgramStream => new ProgramStream(["sh", "-c", script], FAILURE);

/** All that is said until the stream is over, and what it failed with. */
async function outcomeOf(stream: ProgramStream): Promise<{ text: string; error?: string }> {
  let text = "";
  stream.on("data", (chunk: Buffer) => (text += chunk.toString()));
  const error = await new Promise<Error | undefined>((resolve) => stream.once("end", () => resolve(undefined)).once("error", resolve));
  return { text, ...(error && { error: error.message }) };
}

test("bytes go both ways until the program has all of them", async () => {
  const stream = shell("cat");
  stream.write("one ");
  stream.end("two");
  expect(await outcomeOf(stream)).toEqual({ text: "one two" });
});

test("a program that ends first ends the stream without an error, and what is written then goes nowhere", async () => {
  const stream = shell("echo bye");
  expect(await outcomeOf(stream)).toEqual({ text: "bye\n" });
  await new Promise<void>((resolve) => void stream.write("too late", () => resolve()));
  stream.destroy();
});

test("a reader that waits gets all of it", async () => {
  const stream = shell("head -c 3000000 /dev/zero");
  stream.once("readable", () => {});
  await Bun.sleep(200);
  expect((await outcomeOf(stream)).text.length).toBe(3_000_000);
});

test("a program that fails is heard", async () => {
  expect(await outcomeOf(shell("echo no route >&2; exit 1"))).toEqual({ text: "", error: `${FAILURE}: no route` });
});
