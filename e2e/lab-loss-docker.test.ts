import { describeLoss } from "./loss.suite.ts";

describeLoss("docker");
