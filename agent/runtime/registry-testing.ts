// A registry of a test's own (Debian's docker-registry) on loopback, plain or with a password, and pushing images to it.
// Not used by the product.
import { createServer } from "node:net";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { imageBlobs, type Blob, type ImageSource } from "./image-tar.ts";

export interface TestRegistry {
  /** `127.0.0.1:<port>`, what references begin with. */
  readonly host: string;
  /** Puts an image there under `<repository>:<tag>`; returns its digest. */
  push(repository: string, source: ImageSource): Promise<string>;
  /** One tag for several architectures; returns the index's digest. */
  pushIndex(repository: string, tag: string, sources: readonly ImageSource[]): Promise<string>;
  stop(): Promise<void>;
}

export interface Login {
  readonly username: string;
  readonly password: string;
}

const INDEX_TYPE = "application/vnd.oci.image.index.v1+json";

/** Starts one; with `login`, nobody pulls or pushes without it. */
export async function startRegistry(login?: Login): Promise<TestRegistry> {
  const directory = mkdtempSync("/tmp/mk8s-reg-");
  const host = `127.0.0.1:${await freePort()}`;
  if (login) writeFileSync(join(directory, "htpasswd"), `${login.username}:${await Bun.password.hash(login.password, { algorithm: "bcrypt", cost: 4 })}\n`);
  const config = {
    version: "0.1", log: { level: "error" }, http: { addr: host },
    storage: { filesystem: { rootdirectory: join(directory, "data") } },
    ...(login && { auth: { htpasswd: { realm: "test", path: join(directory, "htpasswd") } } }),
  };
  writeFileSync(join(directory, "config.yml"), JSON.stringify(config));
  const child = Bun.spawn(["docker-registry", "serve", join(directory, "config.yml")], { stdout: Bun.file(join(directory, "log")), stderr: Bun.file(join(directory, "log")) });
  const registry = new Registry(host, login);
  for (let tries = 0; !(await registry.answers()); tries++) {
    if (child.exitCode !== null || tries > 200) throw new Error(`docker-registry did not start: ${await Bun.file(join(directory, "log")).text()}`);
    await Bun.sleep(50);
  }
  return {
    host,
    push: (repository, source) => registry.push(repository, source),
    pushIndex: (repository, tag, sources) => registry.pushIndex({ repository, tag, sources }),
    stop: async () => {
      child.kill("SIGKILL");
      await child.exited;
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

class Registry {
  constructor(readonly host: string, readonly login: Login | undefined) {}

  async answers(): Promise<boolean> {
    return fetch(`http://${this.host}/v2/`).then(({ status }) => status === 200 || status === 401, () => false);
  }

  async push(repository: string, source: ImageSource, reference = source.name.slice(source.name.lastIndexOf(":") + 1)): Promise<string> {
    const { layer, config, manifest } = imageBlobs(source);
    for (const blob of [layer, config]) await this.#upload(repository, blob);
    await this.#manifest(`${repository}/manifests/${reference}`, manifest);
    return manifest.digest;
  }

  async pushIndex({ repository, tag, sources }: { repository: string; tag: string; sources: readonly ImageSource[] }): Promise<string> {
    const manifests = [];
    for (const source of sources) {
      const { manifest } = imageBlobs(source);
      await this.push(repository, source, manifest.digest);
      manifests.push({ mediaType: manifest.mediaType, digest: manifest.digest, size: manifest.bytes.length, platform: { os: "linux", architecture: source.architecture } });
    }
    const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: INDEX_TYPE, manifests }));
    await this.#manifest(`${repository}/manifests/${tag}`, { mediaType: INDEX_TYPE, bytes });
    return `sha256:${new Bun.CryptoHasher("sha256").update(bytes).digest("hex")}`;
  }

  async #upload(repository: string, { bytes, digest }: Blob): Promise<void> {
    const session = await this.#send("POST", `http://${this.host}/v2/${repository}/blobs/uploads/`);
    const place = new URL(session.headers.get("location") ?? "", `http://${this.host}`);
    place.searchParams.set("digest", digest);
    await this.#send("PUT", place.href, { body: bytes, type: "application/octet-stream" });
  }

  async #manifest(path: string, { mediaType, bytes }: { mediaType: string; bytes: Uint8Array }): Promise<void> {
    await this.#send("PUT", `http://${this.host}/v2/${path}`, { body: bytes, type: mediaType });
  }

  async #send(method: string, url: string, content?: { body: Uint8Array; type: string }): Promise<Response> {
    const headers: Record<string, string> = {};
    if (content) headers["Content-Type"] = content.type;
    if (this.login) headers["Authorization"] = `Basic ${btoa(`${this.login.username}:${this.login.password}`)}`;
    const response = await fetch(url, { method, headers, ...(content && { body: Buffer.from(content.body) }) });
    if (!response.ok) throw new Error(`${method} ${url}: ${response.status} ${await response.text()}`);
    return response;
  }
}

async function freePort(): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>();
  const server = createServer().listen(0, "127.0.0.1", () => {
    const address = server.address();
    server.close(() => resolve(typeof address === "object" && address ? address.port : 0));
  });
  return promise;
}
