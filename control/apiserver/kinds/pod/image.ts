// What an image reference says about its tag; pulling and resolving names is the node's business.

const DIGEST = /@[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}$/;
const TAG = /:([\w][\w.-]{0,127})$/;
// An optional registry host, then lower-case path components.
const NAME = /^(?:(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?\/)?[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*$/;

/** `Always` for `:latest` (said or implied), `IfNotPresent` for any other tag, a digest, or no valid reference. */
export function defaultPullPolicy(image: string): "Always" | "IfNotPresent" {
  const undigested = image.replace(DIGEST, "");
  const tag = TAG.exec(undigested.slice(undigested.lastIndexOf("/") + 1))?.[1];
  const name = tag === undefined ? undigested : undigested.slice(0, -tag.length - 1);
  if (!NAME.test(name)) return "IfNotPresent";
  if (tag !== undefined) return tag === "latest" ? "Always" : "IfNotPresent";
  return undigested === image ? "Always" : "IfNotPresent";
}
