// Reads a KubeSchedulerConfiguration file into what the scheduler is made of: profiles, plugins, weights, arguments.
// Format: kubescheduler.config.k8s.io/v1. What is not understood is an error that says where, never ignored.
import { parse as parseYaml } from "yaml";
import { field } from "../../api/errors.ts";
import { defaultPlugins, type PluginContext, type Profile, type SchedulerConfig } from "./config.ts";
import { pluginArgs } from "./configargs.ts";
import { allow, ConfigError, fieldsListOf, fieldsOf, Problems, stringOf, type Fields } from "./configfields.ts";
import { extendersOf } from "./extenders/config.ts";
import { DEFAULT_FIT } from "./plugins/resources.ts";
import { checkPoints, pluginsOf, pointsOf, preempts } from "./configpoints.ts";

const API_VERSION = "kubescheduler.config.k8s.io/v1";
const PERCENTAGE = { min: 0, max: 100, otherwise: "not in valid range [0-100]" } as const;
/** About how upstream's process runs; here another flag, or nothing: one thread decides, and it is the API server's. */
const PROCESS_FIELDS = ["apiVersion", "kind", "leaderElection", "clientConnection", "parallelism", "enableProfiling", "enableContentionProfiling", "delayCacheUntilActive"];

/** Reads the text of a configuration file; throws ConfigError. */
export function readSchedulerConfig(text: string): SchedulerConfig {
  const file = fieldsOf(parseYaml(text), "the configuration");
  if (file["apiVersion"] !== API_VERSION || file["kind"] !== "KubeSchedulerConfiguration") throw new ConfigError(`apiVersion and kind must be ${API_VERSION} KubeSchedulerConfiguration, not ${String(file["apiVersion"])} ${String(file["kind"])}`);
  allow(file, "", [...PROCESS_FIELDS, "percentageOfNodesToScore", "podInitialBackoffSeconds", "podMaxBackoffSeconds", "profiles", "extenders"]);
  const problems = new Problems();
  checkProcess(file, problems);
  const extenders = extendersOf(file["extenders"], problems);
  const profiles = profilesOf(file, extenders.flatMap(({ ignoredResources }) => ignoredResources), problems);
  const percentage = problems.number(file["percentageOfNodesToScore"], "percentageOfNodesToScore", PERCENTAGE);
  const initial = problems.number(file["podInitialBackoffSeconds"], "podInitialBackoffSeconds", { min: 1, otherwise: "must be greater than 0" });
  const max = problems.number(file["podMaxBackoffSeconds"], "podMaxBackoffSeconds", { min: -Infinity, otherwise: "" });
  if ((max ?? 10) < (initial ?? 1)) problems.add(field.invalid("podMaxBackoffSeconds", max ?? 10, "must be greater than or equal to PodInitialBackoffSeconds"));
  problems.throwIfAny();
  return {
    ...(percentage !== undefined && { percentageOfNodesToScore: percentage }),
    ...(initial !== undefined && { podInitialBackoffMs: initial * 1000 }),
    ...(max !== undefined && { podMaxBackoffMs: max * 1000 }),
    ...(extenders.length > 0 && { extenders }),
    ...(profiles.length > 0 && { profiles: profiles.map((p) => (context: PluginContext) => p.make(context)) }),
  };
}

/** What changes nothing here must make sense all the same. */
function checkProcess(file: Fields, problems: Problems): void {
  problems.number(file["parallelism"], "parallelism", { min: 1, otherwise: "should be an integer value greater than zero" });
  const { leaderElect, resourceLock } = fieldsOf(file["leaderElection"] ?? {}, "leaderElection");
  if (leaderElect === true && resourceLock !== undefined && resourceLock !== "leases") problems.add(field.invalid("leaderElection.resourceLock", resourceLock, 'resourceLock value must be "leases"'));
}

interface ProfileSource {
  readonly schedulerName: string;
  make(context: PluginContext): Profile;
}

/** Only one that is alone may leave out its name. */
function profilesOf(file: Fields, ignoredResources: readonly string[], problems: Problems): ProfileSource[] {
  const given = fieldsListOf(file["profiles"], "profiles");
  const list = given.length === 0 && ignoredResources.length > 0 ? [{}] : given;
  const profiles = list.map((profile, i) => profileOf(profile, { path: `profiles[${i}]`, problems, ignoredResources, otherwise: list.length === 1 ? "default-scheduler" : "" }));
  profiles.forEach(({ schedulerName }, i) => {
    if (schedulerName === "") problems.add(field.required(`profiles[${i}].schedulerName`));
    else if (profiles.findIndex((other) => other.schedulerName === schedulerName) < i) problems.add(field.duplicate(`profiles[${i}].schedulerName`, schedulerName));
  });
  return profiles;
}

function profileOf(profile: Fields, { path, problems, otherwise, ignoredResources }: { path: string; problems: Problems; otherwise: string; ignoredResources: readonly string[] }): ProfileSource {
  allow(profile, path, ["schedulerName", "percentageOfNodesToScore", "plugins", "pluginConfig"]);
  const schedulerName = stringOf(profile["schedulerName"], `${path}.schedulerName`) ?? otherwise;
  const percentage = problems.number(profile["percentageOfNodesToScore"], `${path}.percentageOfNodesToScore`, PERCENTAGE);
  const { args: own, preemption } = pluginArgs(profile["pluginConfig"], `${path}.pluginConfig`, problems);
  // What is an extender's business alone no profile looks at.
  const fit = own.nodeResourcesFit ?? DEFAULT_FIT;
  const args = { ...own, nodeResourcesFit: { ...fit, ignoredResources: [...(fit.ignoredResources ?? []), ...ignoredResources] } };
  const points = pointsOf(fieldsOf(profile["plugins"] ?? {}, `${path}.plugins`), `${path}.plugins`, problems);
  checkPoints(points, { path: `${path}.plugins`, schedulerName });
  return {
    schedulerName,
    make: (context) => ({
      schedulerName, percentageOfNodesToScore: percentage,
      plugins: pluginsOf(points, defaultPlugins(context, args)),
      preemption: preempts(points) ? preemption : undefined,
    }),
  };
}
