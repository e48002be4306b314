// Container images made in memory: one layer of given files, as an archive `docker load` and `ctr images import` both take.
// Used for the sandbox image inside the binary, test images and the sample's image; pulling is the runtimes'.
import { type TarEntry, writeTar } from "./tar.ts";

/** What goes into an image; the fields are those of an image's configuration. */
export interface ImageSource {
  /** Full reference, as in `registry.example/app:1`. */
  readonly name: string;
  /** Parent directories are added. */
  readonly files: readonly TarEntry[];
  readonly architecture: "amd64" | "arm64";
  readonly entrypoint?: readonly string[];
  readonly cmd?: readonly string[];
  readonly env?: readonly string[];
  readonly user?: string;
  readonly workingDir?: string;
  readonly stopSignal?: string;
  readonly exposedPorts?: readonly string[];
  readonly labels?: Readonly<Record<string, string>>;
}

const CONFIG_TYPE = "application/vnd.oci.image.config.v1+json";
const LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar";
const MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json";
const INDEX_TYPE = "application/vnd.oci.image.index.v1+json";
/** Images have no birthday, so that the same files give the same digest. */
const CREATED = "1970-01-01T00:00:00Z";

/** An archive that is an OCI layout and a `docker save` tar at once; the same source always gives the same bytes. */
export function buildImage(source: ImageSource): Uint8Array {
  const { layer, config, manifest } = imageBlobs(source);
  const annotations = { "io.containerd.image.name": source.name, "org.opencontainers.image.ref.name": source.name.slice(source.name.lastIndexOf(":") + 1) };
  const index = { schemaVersion: 2, mediaType: INDEX_TYPE, manifests: [{ ...descriptor(manifest), platform: { os: "linux", architecture: source.architecture }, annotations }] };
  return writeTar([
    ...[layer, config, manifest].map(({ path, bytes }) => ({ path, content: bytes })),
    { path: "index.json", content: JSON.stringify(index) },
    { path: "manifest.json", content: JSON.stringify([{ Config: config.path, RepoTags: [source.name], Layers: [layer.path] }]) },
    { path: "oci-layout", content: JSON.stringify({ imageLayoutVersion: "1.0.0" }) },
  ]);
}

/** The three parts of an image as a registry keeps them. */
export function imageBlobs(source: ImageSource): { layer: Blob; config: Blob; manifest: Blob } {
  const layer = blob(LAYER_TYPE, writeTar(withParents(source.files)));
  const config = blob(CONFIG_TYPE, JSON.stringify(imageConfig(source, layer.digest)));
  const manifest = blob(MANIFEST_TYPE, JSON.stringify({ schemaVersion: 2, mediaType: MANIFEST_TYPE, config: descriptor(config), layers: [descriptor(layer)] }));
  return { layer, config, manifest };
}

/** Content by digest. */
export interface Blob {
  readonly mediaType: string;
  readonly bytes: Uint8Array;
  readonly digest: string;
  readonly path: string;
}

function blob(mediaType: string, content: Uint8Array | string): Blob {
  const bytes = Buffer.from(content as Uint8Array);
  const hex = new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
  return { mediaType, bytes, digest: `sha256:${hex}`, path: `blobs/sha256/${hex}` };
}

function descriptor({ mediaType, bytes, digest }: Blob): { mediaType: string; digest: string; size: number } {
  return { mediaType, digest, size: bytes.length };
}

function imageConfig(source: ImageSource, layerDigest: string): unknown {
  return {
    created: CREATED,
    architecture: source.architecture,
    os: "linux",
    config: {
      Env: source.env ?? ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
      ...(source.entrypoint && { Entrypoint: source.entrypoint }),
      ...(source.cmd && { Cmd: source.cmd }),
      ...(source.user && { User: source.user }),
      ...(source.workingDir && { WorkingDir: source.workingDir }),
      ...(source.stopSignal && { StopSignal: source.stopSignal }),
      ...(source.exposedPorts && { ExposedPorts: Object.fromEntries(source.exposedPorts.map((port) => [port, {}])) }),
      ...(source.labels && { Labels: source.labels }),
    },
    rootfs: { type: "layers", diff_ids: [layerDigest] },
    history: [{ created: CREATED, created_by: "minik8s" }],
  };
}

/** Every directory before what is in it, each once, with relative paths. */
function withParents(files: readonly TarEntry[]): TarEntry[] {
  const entries = new Map<string, TarEntry>();
  for (const file of files) {
    const path = file.path.replace(/^\/+|\/+$/g, "");
    const parts = path.split("/").slice(0, -1);
    parts.forEach((_, index) => {
      const parent = parts.slice(0, index + 1).join("/");
      if (!entries.has(parent)) entries.set(parent, { path: parent });
    });
    entries.set(path, { ...file, path });
  }
  return [...entries.values()];
}
