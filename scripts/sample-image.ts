// Makes the sample's image from Debian's busybox-static, for machines that reach no registry: `bun scripts/sample-image.ts OUT.tar`.
import { readFileSync, writeFileSync } from "node:fs";
import { buildImage } from "../agent/runtime/image-tar.ts";

const SERVE = 'mkdir -p /www && echo "hello from $(hostname)" > /www/index.html && exec httpd -f -p 8080 -h /www';
const APPLETS = ["sh", "httpd", "hostname", "mkdir", "echo", "cat", "ls", "sleep", "true", "env", "nc", "wget", "nslookup", "ps", "id", "tar", "top", "vi", "ip", "ping"];

const [out] = process.argv.slice(2);
if (!out) throw new Error("name the file to write, such as dist/hello.tar");

writeFileSync(
  out,
  buildImage({
    name: "docker.io/minik8s/hello:1",
    architecture: process.arch === "arm64" ? "arm64" : "amd64",
    files: [
      { path: "bin/busybox", mode: 0o755, content: readFileSync("/bin/busybox") },
      ...APPLETS.map((applet) => ({ path: `bin/${applet}`, target: "busybox" })),
      { path: "etc/passwd", content: "root:x:0:0:root:/root:/bin/sh\n" },
    ],
    cmd: ["/bin/sh", "-c", SERVE],
  }),
);
