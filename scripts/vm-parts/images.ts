// Makes the images that the checks in a virtual machine run: `bun scripts/vm-parts/images.ts OUT.tar PAUSE.tar`.
// The second is for a containerd that is the machine's: it wants its own sandbox image, and the machine can pull none.
import { writeFileSync } from "node:fs";
import { buildImage } from "../../agent/runtime/image-tar.ts";
import { busyboxImage } from "../../agent/runtime/busybox-image.ts";
import { hostArchitecture, pauseBinary } from "../../agent/runtime/pause/image.ts";

const [out, pause] = process.argv.slice(2);
if (!out || !pause) throw new Error("name the files to write");
writeFileSync(out, busyboxImage("docker.io/minik8s/busybox:1"));
const files = [{ path: "pause", content: pauseBinary(), mode: 0o755 }];
writeFileSync(pause, buildImage({ name: "minik8s.io/pause:check", architecture: hostArchitecture, files, entrypoint: ["/pause"], user: "65535:65535" }));
