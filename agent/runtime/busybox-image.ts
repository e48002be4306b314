// A busybox image from this machine's static busybox, for tests against real runtimes.
// Product images come from registries or archives.
import { readFileSync } from "node:fs";
import { buildImage, type ImageSource } from "./image-tar.ts";
import { hostArchitecture } from "./pause/image.ts";

const APPLETS = ["sh", "cat", "echo", "sleep", "ls", "id", "env", "nc", "true", "false", "mkdir", "touch", "hostname", "ps", "stty", "head", "wc", "dd", "seq", "kill", "grep", "cut", "date", "httpd", "wget", "ip", "mount", "stat", "test", "printf", "yes", "tr", "tail", "sync", "tar", "awk", "sed", "nslookup", "ping", "chmod", "rm", "cp", "ln", "df", "du", "find", "sort", "uname", "whoami", "md5sum", "sha256sum", "xargs", "timeout", "telnet"];

/** The image as an archive; needs `/bin/busybox` to be static, as in Debian's busybox-static. */
export function busyboxImage(name: string): Uint8Array {
  return buildImage(busyboxSource(name));
}

/** What the image is made of. */
export function busyboxSource(name: string): ImageSource {
  return {
    name,
    architecture: hostArchitecture,
    files: [
      { path: "bin/busybox", content: readFileSync("/bin/busybox"), mode: 0o755 },
      ...APPLETS.map((applet) => ({ path: `bin/${applet}`, target: "busybox" })),
      { path: "etc/passwd", content: "root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n" },
      { path: "etc/group", content: "root:x:0:\nnobody:x:65534:\n" },
      { path: "tmp", mode: 0o1777 },
    ],
    cmd: ["/bin/sh", "-c", "sleep 1000000"],
  };
}
