import { expect, test } from "bun:test";
import { JsonLogRewriter } from "./json-log.ts";

const json = (log: string, time: string, stream = "stdout"): string => `${JSON.stringify({ log, stream, time: `2026-01-31T12:00:${time}Z` })}\n`;
const rewrite = (lines: string): string[] => new JsonLogRewriter().rewrite(Buffer.from(lines)).toString().split("\n").slice(0, -1);

test("Docker's lines become CRI's, partial ones and short fractions included", () => {
  expect(rewrite(json("one\n", "01.5") + json("half", "02.123456789", "stderr") + "torn{\n" + json("\n", "03"))).toEqual([
    "2026-01-31T12:00:01.500000000Z stdout F one",
    "2026-01-31T12:00:02.123456789Z stderr P half",
    "2026-01-31T12:00:03.000000000Z stdout F ",
  ]);
});

test.each([
  ["quotes and backslashes", `say "C:\\new" \\`],
  ["what looks like the end of a line of the format", `","stream":"stderr","time":"2020-01-01T00:00:00Z"}`],
  ["control characters and tabs", "\u0001\ta\rb\bc\f"],
  ["what Go escapes though JSON need not", "<a href='x'>&\u2028"],
  ["other scripts and pairs", "żółć 日本 \u{1f600}"],
])("%s are shown as they were printed", (_name, text) => {
  const line = (log: string): string => json(log, "01").replaceAll("<", "\\u003c").replaceAll(">", "\\u003e").replaceAll("&", "\\u0026").replaceAll("\u2028", "\\u2028");
  expect(rewrite(line(`${text}\n`) + line(text))).toEqual([`2026-01-31T12:00:01.000000000Z stdout F ${text}`, `2026-01-31T12:00:01.000000000Z stdout P ${text}`]);
});

test("an escaped pair, attributes and another order are understood though the engine never writes them so", () => {
  const time = "2026-01-31T12:00:01.000000000Z";
  expect(rewrite(`{"log":"\\ud83d\\ude00\\n","stream":"stdout","time":"${time}"}\n{"log":"a\\n","stream":"stdout","attrs":{"k":"v"},"time":"${time}"}\n{"time":"${time}","stream":"stderr","log":"b"}\n`)).toEqual([
    `${time} stdout F \u{1f600}`, `${time} stdout F a`, `${time} stderr P b`,
  ]);
});
