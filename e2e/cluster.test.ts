import { describeCluster } from "./cluster.suite.ts";

describeCluster({ runtime: "containerd" });
