// Which container or sandbox a request means: by pod and container name, from pod statuses and the runtime's records.
// What is done with it is the caller's.
import type { ContainerStatus, Pod } from "../../api/types.ts";
import type { Runtime } from "../runtime/runtime.ts";

/** The node's pods with their latest statuses, as the kubelet keeps them. */
export interface NodePods {
  list(): readonly Pod[];
  get(namespace: string, name: string): Pod | undefined;
}

/** A request that cannot be served; `message` is the response's body. */
export class NodeRequestError extends Error {
  override readonly name = "NodeRequestError";
  constructor(readonly code: number, message: string) {
    super(message);
  }
}

// Labels every kubelet puts on what it creates.
const POD_UID = "io.kubernetes.pod.uid";
const CONTAINER_NAME = "io.kubernetes.container.name";

/** The id of the running container of that name; rejects with 500 in upstream's words when there is none. */
export async function runningContainer(runtime: Runtime, pod: Pod, name: string): Promise<string> {
  const told = statusOf(pod, name)?.containerID?.replace(/^[^:]+:\/\//, "");
  if (told !== undefined && (await runtime.pods.containerStatus(told))?.state === "running") return told;
  // Another one may run by now. A list grows with the node and is not for every call.
  const found = (await runtime.pods.listContainers())
    .filter(({ state, labels }) => state === "running" && labels[POD_UID] === pod.metadata.uid && labels[CONTAINER_NAME] === name)
    .sort((a, b) => b.attempt - a.attempt)[0];
  if (!found) throw new NodeRequestError(500, `container not found ("${name}")`);
  return found.id;
}

/** The id of the pod's ready sandbox. */
export async function readySandbox(runtime: Runtime, pod: Pod): Promise<string> {
  const found = (await runtime.pods.listSandboxes()).filter(({ state, uid }) => state === "ready" && uid === pod.metadata.uid).sort((a, b) => b.createdAt - a.createdAt)[0];
  if (!found) throw new NodeRequestError(404, `pod not found ("${pod.metadata.name}_${pod.metadata.namespace}")`);
  return found.id;
}

/** Whether the pod's spec has a container of that name, of any kind. */
export function hasContainer(pod: Pod, name: string): boolean {
  const { containers = [], initContainers = [], ephemeralContainers = [] } = pod.spec ?? {};
  return [...containers, ...initContainers, ...ephemeralContainers].some((container) => container.name === name);
}

/** The id of the container whose log is meant; throws 400 in upstream's words when there is none. */
export function loggedContainer(pod: Pod, name: string, previous: boolean): string {
  const status = statusOf(pod, name);
  const inPod = `container "${name}" in pod "${pod.metadata.name}"`;
  if (!status) throw new NodeRequestError(400, `${inPod} is not available`);
  const id = previous ? status.lastState?.terminated?.containerID : currentId(status, inPod);
  if (!id) throw new NodeRequestError(400, previous ? `previous terminated ${inPod} not found` : `${inPod} is terminated`);
  return id.replace(/^[^:]+:\/\//, "");
}

function statusOf({ status = {} }: Pod, name: string): ContainerStatus | undefined {
  const { containerStatuses = [], initContainerStatuses = [], ephemeralContainerStatuses = [] } = status;
  return [...containerStatuses, ...initContainerStatuses, ...ephemeralContainerStatuses].find((each) => each.name === name);
}

function currentId({ state = {}, lastState, containerID }: ContainerStatus, inPod: string): string | undefined {
  if (state.running) return containerID;
  if (state.terminated) return state.terminated.containerID || lastState?.terminated?.containerID;
  if (lastState?.terminated) return lastState.terminated.containerID;
  throw new NodeRequestError(400, `${inPod} is waiting to start${waitingReason(state.waiting?.reason)}`);
}

function waitingReason(reason: string | undefined): string {
  if (reason === "ErrImagePull") return ": image can't be pulled";
  if (reason === "ImagePullBackOff") return ": trying and failing to pull image";
  return reason === undefined ? " - no logs yet" : `: ${reason}`;
}
