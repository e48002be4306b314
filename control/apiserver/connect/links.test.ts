import { expect, test } from "bun:test";
import { rewriteLinks } from "./connector.ts";

const PREFIX = "/api/v1/namespaces/n/pods/p/proxy";

test("a proxied page's links to its own root lead back through the proxy, links to elsewhere stay", () => {
  expect(rewriteLinks(`<a href="/rewriteme">test</a>`, PREFIX)).toBe(`<a href="${PREFIX}/rewriteme">test</a>`);
  expect(rewriteLinks(`<img src='/i.png'><a href="https://other/x"><a href="//cdn/x"><a href="relative">`, PREFIX)).toBe(`<img src='${PREFIX}/i.png'><a href="https://other/x"><a href="//cdn/x"><a href="relative">`);
  expect(rewriteLinks(`<a href="${PREFIX}/already">`, PREFIX)).toBe(`<a href="${PREFIX}/already">`);
});
