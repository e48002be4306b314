// Makes sure that tests find the schema build product, and that it is as new as what it is made from.
import { statSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dir, "..");
const SOURCES = ["scripts/schema.ts", "scripts/schema-parameters.ts", "api/kinds.ts", "api/schema/facts.ts", "api/schema/facts-core.ts", "api/schema/facts-defaults.ts", "api/schema/facts-groups.ts", "api/schema/special.ts"];

const modified = (path: string): number => statSync(join(root, path), { throwIfNoEntry: false })?.mtimeMs ?? 0;
if (modified("dist/schema.data") < Math.max(...SOURCES.map(modified))) {
  const { writeSchema } = await import("./schema.ts");
  writeSchema();
}
