// Shell completion, written from the command table so that it cannot fall behind it.
import { COMMANDS, type Invocation } from "./commands.ts";
import { UsageError } from "./flags.ts";

const SHELLS: Readonly<Record<string, () => string>> = { bash, zsh, fish };

export async function runCompletion({ positionals }: Invocation): Promise<number> {
  const script = SHELLS[positionals[0] ?? ""];
  if (!script) throw new UsageError(`completion ${positionals[0] ?? ""}: name a shell: bash, zsh or fish`);
  process.stdout.write(script());
  return 0;
}

function bash(): string {
  const cases = COMMANDS.map(({ name, flags, words }) => `    ${name}) words="${[...choicesOf(words), ...flags.map((flag) => `--${flag.name}`), "--help"].join(" ")}" ;;`);
  return `_minik8s() {\n  local current="\${COMP_WORDS[COMP_CWORD]}" words\n  case "\${COMP_WORDS[1]}" in\n${cases.join("\n")}\n  esac\n  [ "$COMP_CWORD" -eq 1 ] && words="${COMMANDS.map(({ name }) => name).join(" ")}"\n  COMPREPLY=($(compgen -W "$words" -- "$current"))\n}\ncomplete -o default -F _minik8s minik8s\n`;
}

function zsh(): string {
  return `#compdef minik8s\nautoload -U +X bashcompinit && bashcompinit\n${bash()}`;
}

function fish(): string {
  const lines = COMMANDS.flatMap(({ name, summary, flags }) => [
    `complete -c minik8s -n __fish_use_subcommand -f -a ${name} -d ${quoted(summary)}`,
    ...flags.map((flag) => `complete -c minik8s -n '__fish_seen_subcommand_from ${name}' -l ${flag.name}${flag.value ? " -r" : ""} -d ${quoted(flag.help)}`),
  ]);
  return `${lines.join("\n")}\n`;
}

function choicesOf(words: string | undefined): string[] {
  return (words?.split(" ")[0] ?? "").split("|").filter(Boolean);
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "\\'")}'`;
}
