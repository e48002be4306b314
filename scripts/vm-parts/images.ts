// Makes the image that the checks in a virtual machine run: `bun scripts/vm-parts/images.ts OUT.tar`.
import { writeFileSync } from "node:fs";
import { busyboxImage } from "../../agent/runtime/busybox-image.ts";

const [out] = process.argv.slice(2);
if (!out) throw new Error("name the file to write");
writeFileSync(out, busyboxImage("docker.io/minik8s/busybox:1"));
