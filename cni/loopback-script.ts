// The loopback plugin as a shell script: every pod has it called once more, and starting the whole executable for that costs ten times as much.
// It does what is asked for every day; for everything else, failures included, it hands over to the executable.
import { SUPPORTED_VERSIONS } from "./version.ts";

/** The script's text; `whole` is the shell's word for the program that serves the plugin in full. */
export function loopbackScript(whole: string): string {
  const older = SUPPORTED_VERSIONS.filter((version) => version.startsWith("0."));
  const newer = SUPPORTED_VERSIONS.filter((version) => !version.startsWith("0."));
  return `#!/bin/sh
config=
while IFS= read -r line || [ -n "$line" ]; do config=$config$line; done
whole() { printf %s "$config" | MINIK8S_CNI_PLUGIN=loopback ${whole}; exit; }
link() { nsenter --net="$CNI_NETNS" ip link set dev lo "$1" 2>/dev/null || whole; }
case $config$CNI_NETNS in *'"prevResult"'* | *\\\\*) whole ;; esac
case $CNI_NETNS in *'"'* | '') whole ;; esac
version=\${config#*'"cniVersion":"'}
version=\${version%%'"'*}
case $version in ${older.join(" | ")}) family='"version":"4",' ;; ${newer.join(" | ")}) family= ;; *) whole ;; esac
case $CNI_COMMAND in
  ADD)
    link up
    printf '{"cniVersion":"%s","interfaces":[{"name":"lo","mac":"00:00:00:00:00:00","sandbox":"%s"}],"ips":[{%s"address":"127.0.0.1/8","interface":0}],"routes":[],"dns":{}}\\n' "$version" "$CNI_NETNS" "$family" ;;
  DEL) link down ;;
  *) whole ;;
esac
`;
}
