// What a kubelet may do beyond what follows from its pods: the rules of the `system:node` role, the same for every node.
import type { PolicyRule } from "../../../api/types.ts";
import { CLUSTER_ROLES } from "./policy/clusterroles.ts";
import { ruleOf } from "./policy/notation.ts";

export const NODE_RULES: readonly PolicyRule[] = (CLUSTER_ROLES["system:node"] ?? []).map(ruleOf);
