// Images on a Docker engine.
// Pull policies and back-off are the kubelet's.
import { createReadStream } from "node:fs";
import type Docker from "dockerode";
import type { ImageInspectInfo } from "dockerode";
import { type ImageRecord, type ImageService, type RegistryAuth, RuntimeError } from "../runtime.ts";
import { ask, askIfPresent, messageOf } from "./engine.ts";

const UNREACHABLE = /connection refused|no such host|i\/o timeout|TLS handshake|network is unreachable|Client\.Timeout|server misbehaving/;

/** ImageService on the Docker Engine's API. `pinned` images are never listed as garbage. */
export class DockerImages implements ImageService {
  readonly #docker: Docker;
  readonly #pinned: string;

  constructor(docker: Docker, pinned: string) {
    this.#docker = docker;
    this.#pinned = pinned;
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
