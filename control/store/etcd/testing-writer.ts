// Writes to an etcd without pause and prints every key with its revision once it is durable; a test kills it while it does.
import { openEtcdStore } from "../etcd.ts";

const [endpoint = "", prefix = ""] = process.argv.slice(2);
const store = await openEtcdStore([endpoint], { prefix });
await Promise.all(Array.from({ length: 8 }, (_, id) => writeForEver(id)));

async function writeForEver(id: number): Promise<never> {
  for (let i = 0; ; i++) process.stdout.write(`/${id}/${i} ${await store.write({ key: `/${id}/${i}`, value: Buffer.from(`${i}`) })}\n`);
}
