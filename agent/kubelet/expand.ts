// `$(VAR)` expansion in env values, commands and arguments, exactly as the API documents it. Pure.

/** Replaces `$(NAME)` by its value; `$$` is a literal `$`, and unknown names stay as written. */
export function expand(text: string, lookup: (name: string) => string | undefined): string {
  return text.replace(/\$(?:\$|\(([^)]*)\))/g, (match, name: string | undefined) => {
    if (name === undefined) return "$";
    return lookup(name) ?? match;
  });
}
