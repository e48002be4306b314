import { describeStore } from "./store.suite.ts";
import { openMemoryStore } from "./memory.ts";

describeStore("memory", { open: openMemoryStore });
