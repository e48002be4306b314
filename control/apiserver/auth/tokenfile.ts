// Static tokens from a file: `token,user,uid,"group1,group2"` a line, as upstream's --token-auth-file.
// Read once at start; a token is as good as its line for as long as the process lives.
import type { UserInfo } from "../request.ts";

/** Users by token; throws with the line number for a line that cannot be read. */
export function parseTokenFile(text: string): ReadonlyMap<string, UserInfo> {
  const users = new Map<string, UserInfo>();
  text.split("\n").forEach((line, index) => {
    if (line.trim() === "" || line.startsWith("#")) return;
    const [token = "", name = "", uid = "", groups = ""] = fieldsOf(line.trim());
    if (token === "" || name === "") throw new Error(`token file, line ${index + 1}: must be token,user,uid[,"group1,group2"]`);
    users.set(token, { name, ...(uid !== "" && { uid }), groups: groups.split(",").map((g) => g.trim()).filter((g) => g !== "") });
  });
  return users;
}

/** Comma-separated fields; a quoted one may hold commas and doubled quotes. */
function fieldsOf(line: string): string[] {
  return [...line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g)].map((m) => (m[1] !== undefined ? m[1].replaceAll('""', '"') : (m[2] ?? "").trim()));
}
