// image: the files of an image, mounted by the runtime itself; here it is only named.
// Pulling it is part of starting the containers that mount it.
import type { VolumeKind } from "./volume.ts";

export function imageVolume(): VolumeKind {
  return {
    plugin: "kubernetes.io~image",
    handles: (volume) => volume.image !== undefined,
    setup: ({ volume }) => Promise.resolve({ hostPath: "", readOnly: true, image: volume.image?.reference ?? "" }),
  };
}
