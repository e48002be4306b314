// Images on a Docker engine.
// Pull policies and back-off are the kubelet's.
import { createReadStream } from "node:fs";
import { mkdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import type Docker from "dockerode";
import type { ImageInspectInfo } from "dockerode";
import { type ImageFiles, type ImageRecord, type ImageService, type RegistryAuth, RuntimeError } from "../runtime.ts";
import { ask, askIfPresent, messageOf } from "./engine.ts";

const UNREACHABLE = /connection refused|no such host|i\/o timeout|TLS handshake|network is unreachable|Client\.Timeout|server misbehaving/;

/** The kernel takes a page of mount options; more layers than fit there are copied. */
const MAX_LOWER_BYTES = 3_500;

/** ImageService on the Docker Engine's API. `pinned` images are never listed as garbage. */
export class DockerImages implements ImageService {
  readonly #docker: Docker;
  readonly #pinned: string;
  readonly #filesDir: string;

  constructor(docker: Docker, options: { readonly pinned: string; readonly filesDir: string }) {
    this.#docker = docker;
    this.#pinned = options.pinned;
    this.#filesDir = options.filesDir;
  }

  async pull(reference: string, auth: RegistryAuth | undefined, signal: AbortSignal): Promise<string> {
    try {
      const stream = (await this.#docker.pull(withTag(reference), { ...(auth && { authconfig: authConfig(auth) }), abortSignal: signal })) as NodeJS.ReadableStream;
      await new Promise<void>((resolve, reject) => this.#docker.modem.followProgress(stream, (error) => (error ? reject(error) : resolve())));
    } catch (error) {
      throw new RuntimeError(pullReason(messageOf(error)), messageOf(error), { cause: error });
    }
    const image = await this.status(reference);
    if (!image) throw new RuntimeError("ErrImagePull", `"${reference}" was pulled but the engine does not show it`);
    return image.repoDigests[0] ?? image.id;
  }

  async status(reference: string): Promise<ImageRecord | undefined> {
    const info = await askIfPresent("Unavailable", () => this.#docker.getImage(reference).inspect());
    return info && this.#record(info);
  }

  async list(): Promise<ImageRecord[]> {
    const images = await ask("Unavailable", () => this.#docker.listImages());
    return images.map(({ Id, RepoTags, RepoDigests, Size }) => ({ id: Id, repoTags: real(RepoTags), repoDigests: real(RepoDigests), sizeBytes: Size, user: "", pinned: (RepoTags ?? []).includes(this.#pinned) }));
  }

  /** By tag where there are several, because the engine refuses to remove such an image by its id. */
  async remove(id: string): Promise<void> {
    const image = await this.status(id);
    if (!image) return;
    const names = image.repoTags.length > 0 ? image.repoTags : [image.id];
    for (const name of names) await askIfPresent("Unavailable", () => this.#docker.getImage(name).remove());
  }

  async load(tarPath: string): Promise<void> {
    const stream = await ask("Unavailable", () => this.#docker.loadImage(createReadStream(tarPath)));
    await new Promise<void>((resolve, reject) => this.#docker.modem.followProgress(stream, (error) => (error ? reject(new RuntimeError("Unavailable", `cannot load ${tarPath}: ${error.message}`, { cause: error })) : resolve())));
  }

  async usage(): Promise<{ usedBytes: number; inodesUsed: number; path: string }> {
    const [disk, info] = await Promise.all([ask("Unavailable", () => this.#docker.df()), ask("Unavailable", () => this.#docker.info())]);
    return { usedBytes: (disk as { LayersSize?: number }).LayersSize ?? 0, inodesUsed: 0, path: (info as { DockerRootDir: string }).DockerRootDir };
  }

  /** The engine's own layers where it keeps them as directories, else a copy. */
  async files(id: string, key: string): Promise<ImageFiles> {
    const info = await ask("CreateContainerError", () => this.#docker.getImage(id).inspect());
    const { Name: driver, Data: data } = (info.GraphDriver ?? {}) as { Name?: string; Data?: { UpperDir?: string; LowerDir?: string } | null };
    const isMountable = driver === "overlay2" && data?.UpperDir !== undefined && Buffer.byteLength(data.LowerDir ?? "") < MAX_LOWER_BYTES;
    if (!isMountable || !data?.UpperDir) return { type: "bind", source: await this.#copy(id, key), options: ["ro"] };
    if (!data.LowerDir) return { type: "bind", source: data.UpperDir, options: ["ro"] };
    return { type: "overlay", source: "overlay", options: ["ro", `lowerdir=${data.UpperDir}:${data.LowerDir}`] };
  }

  async releaseFiles(key: string): Promise<void> {
    await rm(join(this.#filesDir, key), { recursive: true, force: true });
  }

  async #copy(id: string, key: string): Promise<string> {
    const target = join(this.#filesDir, key);
    if (await stat(target).catch(() => undefined)) return target;
    const draft = `${target}.new`;
    await rm(draft, { recursive: true, force: true });
    await mkdir(draft, { recursive: true });
    const container = await ask("CreateContainerError", () => this.#docker.createContainer({ Image: id, Cmd: ["none"], NetworkDisabled: true }));
    try {
      const child = Bun.spawn(["tar", "-x", "-p", "--numeric-owner", "-C", draft], { stdin: "pipe", stdout: "ignore", stderr: "pipe" });
      await pipeline(await container.export(), async (chunks: AsyncIterable<Uint8Array>) => {
        for await (const chunk of chunks) {
          child.stdin.write(chunk);
          await child.stdin.flush();
        }
        await child.stdin.end();
      });
      if ((await child.exited) !== 0) throw new RuntimeError("CreateContainerError", `cannot unpack image ${id}: ${(await new Response(child.stderr).text()).trim()}`);
    } finally {
      await askIfPresent("Unavailable", () => container.remove({ force: true }));
    }
    await rename(draft, target);
    return target;
  }

  #record(info: ImageInspectInfo): ImageRecord {
    const repoTags = real(info.RepoTags);
    return { id: info.Id, repoTags, repoDigests: real(info.RepoDigests), sizeBytes: info.Size, user: info.Config?.User ?? "", pinned: repoTags.includes(this.#pinned) };
  }
}

/** Without a tag the engine would pull all of them. */
function withTag(reference: string): string {
  const last = reference.slice(reference.lastIndexOf("/") + 1);
  return last.includes(":") || last.includes("@") ? reference : `${reference}:latest`;
}

function real(names: readonly string[] | null | undefined): string[] {
  return (names ?? []).filter((name) => !name.includes("<none>"));
}

function authConfig({ username, password, auth, identityToken, registryToken }: RegistryAuth): object {
  const [user, secret] = auth ? Buffer.from(auth, "base64").toString().split(/:(.*)/s) : [username, password];
  return { ...(user && { username: user }), ...(secret && { password: secret }), ...(identityToken && { identitytoken: identityToken }), ...(registryToken && { registrytoken: registryToken }) };
}

function pullReason(message: string): RuntimeError["reason"] {
  if (/invalid reference format/.test(message)) return "InvalidImageName";
  return UNREACHABLE.test(message) ? "RegistryUnavailable" : "ErrImagePull";
}
