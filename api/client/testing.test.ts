import { clientSuite, compactionSuite } from "./client.suite.ts";
import { MemoryClient } from "./testing.ts";

const stop = (): Promise<void> => Promise.resolve();

clientSuite("the in-memory client", () => Promise.resolve({ client: new MemoryClient(), stop }));
compactionSuite("the in-memory client", () => {
  const client = new MemoryClient();
  return Promise.resolve({ client, stop, compact: () => Promise.resolve(client.compact()) });
});
