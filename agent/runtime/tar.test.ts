import { expect, test } from "bun:test";
import { mkdtempSync, readFileSync, readlinkSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildImage } from "./image-tar.ts";
import { writeTar } from "./tar.ts";

test("tar reads what was written: modes, links, long names, empty files", () => {
  const directory = mkdtempSync(join(tmpdir(), "minik8s-tar-"));
  try {
    const long = `${"deep/".repeat(30)}file`;
    const entries = [{ path: "bin", mode: 0o700 }, { path: "bin/tool", content: "#!/bin/sh\n", mode: 0o755 }, { path: "bin/alias", target: "tool" }, { path: long, content: "long" }, { path: "empty", content: "" }, { path: "block", content: Buffer.alloc(512, 1) }];
    writeFileSync(join(directory, "a.tar"), writeTar(entries));
    const { exitCode, stderr } = Bun.spawnSync(["tar", "-xf", "a.tar"], { cwd: directory });
    expect([exitCode, stderr.toString()]).toEqual([0, ""]);
    expect(statSync(join(directory, "bin")).mode & 0o777).toBe(0o700);
    expect(statSync(join(directory, "bin/tool")).mode & 0o777).toBe(0o755);
    expect(readlinkSync(join(directory, "bin/alias"))).toBe("tool");
    expect(readFileSync(join(directory, long), "utf8")).toBe("long");
    expect([statSync(join(directory, "empty")).size, statSync(join(directory, "block")).size]).toEqual([0, 512]);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

test("the same image source gives the same archive", () => {
  const source = { name: "registry.example/app:1", architecture: "amd64", files: [{ path: "a/b/c", content: "x" }], cmd: ["/a/b/c"] } as const;
  expect(Buffer.compare(Buffer.from(buildImage(source)), Buffer.from(buildImage(source)))).toBe(0);
});
