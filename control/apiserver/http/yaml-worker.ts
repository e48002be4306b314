// The thread that reads YAML: one text in, one reading out.
import { parentPort } from "node:worker_threads";
import { readYaml } from "./yaml.ts";

// A thread's port has no origin to name.
// oxlint-disable-next-line unicorn/require-post-message-target-origin
parentPort?.on("message", (text: string) => parentPort?.postMessage(readYaml(text)));
