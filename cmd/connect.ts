// A client for the admin of the cluster this machine belongs to.
import { HttpClient } from "../api/client/http.ts";
import { loadKubeconfig } from "../api/client/kubeconfig.ts";
import { adminKubeconfigPath } from "./kubeconfig.ts";
import type { Values } from "./flags.ts";

/** Runs `work` with an admin client from `--kubeconfig` or the data directory, and closes it afterwards. */
export async function withAdmin<T>(values: Values, work: (client: HttpClient) => Promise<T>): Promise<T> {
  const client = new HttpClient(await loadKubeconfig(values["kubeconfig"] ?? adminKubeconfigPath(values["data-dir"] as string)));
  try {
    return await work(client);
  } finally {
    await client.close();
  }
}
