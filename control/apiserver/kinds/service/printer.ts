// What `kubectl get services` shows.
import type { Service } from "../../../../api/types.ts";
import { ageColumn, nameColumn, printer, text, wide } from "../print/columns.ts";
import { formatLabels } from "../print/format.ts";

/** The columns of services. */
export const servicePrinter = printer<Service>(
  nameColumn(),
  text("Type", ({ spec }) => spec?.type ?? "", "How the service is exposed."),
  text("Cluster-IP", ({ spec }) => spec?.clusterIPs?.[0] ?? "<none>", "The address of the service inside the cluster."),
  text("External-IP", externalIP, "Addresses of the service outside the cluster."),
  text("Port(s)", ports, "The ports of the service."),
  ageColumn(),
  wide(text("Selector", ({ spec }) => formatLabels(spec?.selector), "Which pods serve.")),
);

function externalIP({ spec, status }: Service): string {
  const own = spec?.externalIPs ?? [];
  if (spec?.type === "ExternalName") return spec.externalName ?? "";
  if (spec?.type !== "LoadBalancer") return own.length > 0 ? own.join(",") : "<none>";
  const balanced = loadBalancerAddresses(status?.loadBalancer?.ingress);
  const all = [...(balanced === "" ? [] : [balanced]), ...own];
  return all.length > 0 ? all.join(",") : "<pending>";
}

/** The addresses of a load balancer, each once. */
export function loadBalancerAddresses(ingress: readonly { ip?: string | undefined; hostname?: string | undefined }[] | undefined): string {
  return [...new Set((ingress ?? []).map(({ ip, hostname }) => ip || hostname || "").filter((address) => address !== ""))].sort().join(",");
}

function ports({ spec }: Service): string {
  const shown = (spec?.ports ?? []).map(({ port, nodePort, protocol }) => `${port}${nodePort ? `:${nodePort}` : ""}/${protocol ?? "TCP"}`);
  return shown.length > 0 ? shown.join(",") : "<none>";
}
