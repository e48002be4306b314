import { describeFullDisk } from "./fulldisk.suite.ts";

describeFullDisk("containerd");
