// hostPath: something that is on the node already, checked against the type asked for.
import { mkdir, open, stat } from "node:fs/promises";
import type { Stats } from "node:fs";
import { requireAnswer } from "./responsive.ts";
import type { VolumeKind } from "./volume.ts";

type Check = { readonly is: (stats: Stats) => boolean; readonly what: string };

const CHECKS: Readonly<Record<string, Check>> = {
  Directory: { is: (s) => s.isDirectory(), what: "a directory" },
  File: { is: (s) => s.isFile(), what: "a file" },
  Socket: { is: (s) => s.isSocket(), what: "a socket file" },
  CharDevice: { is: (s) => s.isCharacterDevice(), what: "a character device" },
  BlockDevice: { is: (s) => s.isBlockDevice(), what: "a block device" },
};

export function hostPath(): VolumeKind {
  return {
    plugin: "kubernetes.io~host-path",
    handles: (volume) => volume.hostPath !== undefined,
    async setup({ volume }) {
      const { path = "", type = "" } = volume.hostPath ?? {};
      await requireAnswer(path);
      await check(path, type);
      return { hostPath: path, readOnly: false };
    },
  };
}

async function check(path: string, type: string): Promise<void> {
  if (type === "") return;
  let found = await stat(path).catch(() => undefined);
  if (!found && type === "DirectoryOrCreate") await mkdir(path, { recursive: true, mode: 0o755 });
  if (!found && type === "FileOrCreate") await (await open(path, "a", 0o644)).close();
  found ??= await stat(path).catch(() => undefined);
  const rule = CHECKS[type.replace("OrCreate", "")];
  if (!rule) throw new Error(`hostPath type check failed: ${type} is an invalid volume type`);
  if (!found || !rule.is(found)) throw new Error(`hostPath type check failed: ${path} is not ${rule.what}`);
}
