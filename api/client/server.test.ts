// The client suite against the real API server: in process, and over HTTPS.
import { startTestServer } from "../../control/apiserver/testing.ts";
import { clientSuite } from "./client.suite.ts";
import { HttpClient } from "./http.ts";

clientSuite("the in-process client", async () => {
  const server = await startTestServer();
  return { client: server.client, stop: () => server.stop() };
});

clientSuite("the HTTP client", async () => {
  const server = await startTestServer({ http: true });
  const client = new HttpClient({ server: server.url, insecureSkipVerify: true, token: () => "admin" });
  return {
    client,
    stop: async () => {
      client.close();
      await server.stop();
    },
  };
});
