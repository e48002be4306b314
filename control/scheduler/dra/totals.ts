// How many devices of a node a resource stands for, and how many of them are taken: what scores by fullness ask.
// Rules: k8s.io/kubernetes/pkg/scheduler/framework/plugins/noderesources (calculateDRAResourceTotals).
import type { NodeState } from "../nodestate.ts";
import type { DeviceObjects } from "./objects.ts";
import { isAt } from "./pools.ts";
import { deviceId } from "./types.ts";
import { classMatcher } from "./wishes.ts";

export interface DeviceTotals {
  readonly capacity: number;
  readonly taken: number;
}

const NONE: DeviceTotals = { capacity: 0, taken: 0 };

/** Nothing for a resource that stands for no devices, or whose class cannot be judged by. */
export function deviceTotals(objects: DeviceObjects, resource: string, node: NodeState): DeviceTotals {
  const deviceClass = objects.classForResource(resource);
  if (!deviceClass) return NONE;
  try {
    const matches = classMatcher(deviceClass);
    let [capacity, taken] = [0, 0];
    for (const { driver, name, slices } of objects.pools(node)) {
      for (const { spec } of slices) {
        for (const device of spec?.devices ?? []) {
          if ((spec?.perDeviceNodeSelection === true && !isAt(node, device)) || !matches(device, driver)) continue;
          capacity++;
          if (objects.allocated.isTaken(deviceId({ driver, pool: name, device: device.name }))) taken++;
        }
      }
    }
    return { capacity, taken };
  } catch {
    // A pod that asks for such a device is told by the plugin that looks for one.
    return NONE;
  }
}
