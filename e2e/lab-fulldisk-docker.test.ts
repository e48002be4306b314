import { describeFullDisk } from "./fulldisk.suite.ts";

describeFullDisk("docker");
