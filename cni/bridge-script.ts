// The bridge plugin as a shell script: it attaches and detaches an ordinary pod for a tenth of the processor time that starting the executable takes.
// It knows one configuration, that of a node with a /24 of IPv4; for any other, for other commands and after a failure it hands over to the executable.
import type { ConfigList } from "./config.ts";
import { hardwareAddress } from "./names.ts";

/** The script's text, or undefined when it could not serve the list; `whole` is the shell's word for the program that serves the plugin in full. */
export function bridgeScript(list: ConfigList, whole: string): string | undefined {
  const [plugin] = list.plugins;
  const known = JSON.stringify(sorted({ ...plugin, cniVersion: list.cniVersion, name: list.name }));
  const { bridge, mtu, ipam } = plugin ?? {};
  const prefix = /^(\d+\.\d+\.\d+)\.0\/24$/.exec(ipam?.ranges?.[0]?.[0]?.subnet ?? "")?.[1];
  if (!prefix || ipam?.ranges?.length !== 1 || ipam.dataDir === undefined || /['"\\]/.test(ipam.dataDir + list.name + whole.replaceAll("'", ""))) return undefined;
  const gateway = `${prefix}.1`;
  const size = mtu === undefined ? "" : ` mtu ${mtu}`;
  return `#!/bin/sh
case $CNI_COMMAND in ADD | DEL) ;; *) MINIK8S_CNI_PLUGIN=bridge exec ${whole} ;; esac
config=
while IFS= read -r line || [ -n "$line" ]; do config=$config$line; done
whole() { printf %s "$config" | MINIK8S_CNI_PLUGIN=bridge ${whole}; exit; }
case $config in '${known}') ;; *) whole ;; esac
case ";$CNI_ARGS" in *';IP='*) whole ;; esac
case $CNI_CONTAINERID in *[!A-Za-z0-9_.-]* | '') whole ;; esac
case $CNI_IFNAME in *[!A-Za-z0-9]* | '') whole ;; esac
PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
store='${ipam.dataDir}/${list.name}'

${addressFunctions(prefix)}back() { rm -f "$store/$address"; whole; }
link=$(printf %s "$CNI_CONTAINERID$CNI_IFNAME" | sha1sum) || whole
link=veth\${link%"\${link#????????}"}

# Host ports would be in the configuration. An address is free only once no link answers to it.
if [ "$CNI_COMMAND" = DEL ]; then
  ip link delete dev "$link" 2>/dev/null || ! ip link show dev "$link" >/dev/null 2>&1 || whole
  release 9>>"$store/lock" 2>/dev/null || whole
  exit 0
fi

case $CNI_NETNS in *[!A-Za-z0-9_./-]* | '') whole ;; esac
reserve 9>>"$store/lock" 2>/dev/null || whole
mac=$(printf '${hardwareAddress(`${prefix}.0`).slice(0, -2)}%02x' "$at")
ip -batch - >/dev/null 2>&1 <<END || back
address replace ${gateway}/24 dev ${bridge}
link set dev ${bridge} up
link add name $link${size} type veth peer name $CNI_IFNAME address $mac${size} netns $CNI_NETNS
link set dev $link master ${bridge} up
link set dev $link type bridge_slave hairpin on
END
nsenter --net="$CNI_NETNS" ip -batch - >/dev/null 2>&1 <<END || { ip link delete dev "$link" 2>/dev/null; back; }
address add $address/24 dev $CNI_IFNAME
link set dev $CNI_IFNAME up
route replace 0.0.0.0/0 via ${gateway} dev $CNI_IFNAME
END
printf '{"cniVersion":"${list.cniVersion}","interfaces":[{"name":"${bridge}"},{"name":"%s"},{"name":"%s","mac":"%s","sandbox":"%s"}],"ips":[{"address":"%s/24","gateway":"${gateway}","interface":2}],"routes":[{"dst":"0.0.0.0/0","gw":"${gateway}"}],"dns":{}}\\n' "$link" "$CNI_IFNAME" "$mac" "$CNI_NETNS" "$address"
`;
}

/** Taking the next free address of a /24, and giving back what a container has. */
function addressFunctions(prefix: string): string {
  return `# As hostlocal/store.ts: an entry appears whole or not at all, and only under the lock.
reserve() {
  flock 9 || return
  last=
  read -r last <"$store/last_reserved_ip.0"
  case $last in ${prefix}.[1-9] | ${prefix}.[1-9][0-9] | ${prefix}.[12][0-9][0-9]) at=\${last##*.} ;; *) at=1 ;; esac
  printf '%s\\r\\n%s' "$CNI_CONTAINERID" "$CNI_IFNAME" >"$store/.new-script" || return
  tries=0
  while [ $((tries += 1)) -le 253 ]; do
    at=$((at + 1))
    [ $at -le 254 ] || at=2
    address=${prefix}.$at
    [ ! -e "$store/$address" ] || continue
    mv "$store/.new-script" "$store/$address" || return
    printf %s "$address" >"$store/last_reserved_ip.0"
    return 0
  done
  return 1
}
release() {
  flock 9 || return
  grep -lxF "$CNI_CONTAINERID$(printf '\\r')" "$store"/${prefix}.* | while IFS= read -r file; do
    { read -r line; read -r line; } <"$file"
    case $line in "$CNI_IFNAME" | '') rm -f "$file" || return ;; esac
  done
}
`;
}

/** The value with every object's keys in order, as runtimes write a configuration. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([key, inner]) => [key, sorted(inner)]));
}
