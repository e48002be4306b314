// `plugins` of a scheduler's profile: which plugins are on at which extension points, and what their scores weigh.
// The default plugins are `config.ts`'s; here they are taken away, brought back and weighed anew, as upstream merges them.
import { field } from "../../api/errors.ts";
import { PLUGIN_NAMES } from "./config.ts";
import { PREEMPTION } from "./configargs.ts";
import { allow, ConfigError, fieldsListOf, fieldsOf, stringOf, type Fields, type Problems } from "./configfields.ts";
import type { EnabledPlugin, Plugin } from "./framework.ts";

/** Known to upstream, built in here, and without anything to configure. */
const QUEUE_SORT = "PrioritySort";
const BINDER = "DefaultBinder";
const FILTER_POINTS = ["preFilter", "filter"] as const;
const SCORE_POINTS = ["preScore", "score"] as const;
const POINTS = ["multiPoint", "preEnqueue", "queueSort", ...FILTER_POINTS, "postFilter", ...SCORE_POINTS, "reserve", "permit", "preBind", "bind", "postBind", "placementGenerate", "placementScore"];
const API_VERSION = "kubescheduler.config.k8s.io/v1";
const REMOVED = new Set(["AzureDiskLimits", "CinderLimits", "EBSLimits", "GCEPDLimits"]);

/** What one extension point turns on (with a weight) and off. */
interface Point {
  readonly enabled: ReadonlyMap<string, number>;
  readonly disabled: ReadonlySet<string>;
}

export type Points = ReadonlyMap<string, Point>;

/** Reads the extension points of one profile; throws for what is unknown, notes down what cannot be meant. */
export function pointsOf(plugins: Fields, path: string, problems: Problems): Points {
  allow(plugins, path, POINTS);
  return new Map(Object.entries(plugins).map(([name, value]) => [name, pointOf(fieldsOf(value, `${path}.${name}`), `${path}.${name}`, problems)]));
}

function pointOf(set: Fields, path: string, problems: Problems): Point {
  allow(set, path, ["enabled", "disabled"]);
  const enabled = new Map<string, number>();
  fieldsListOf(set["enabled"], `${path}.enabled`).forEach((plugin, i) => {
    const name = stringOf(plugin["name"], `${path}.enabled[${i}].name`) ?? "";
    if (REMOVED.has(name)) problems.add(field.invalid(`${path}.enabled[${i}]`, name, `was invalid in version ${JSON.stringify(API_VERSION)} (KubeSchedulerConfiguration is version ${JSON.stringify(API_VERSION)})`));
    else if (enabled.has(name)) problems.add(`plugin ${JSON.stringify(name)} already registered as ${JSON.stringify(path.slice(path.lastIndexOf(".") + 1))}`);
    enabled.set(name, problems.number(plugin["weight"], `${path}.enabled[${i}].weight`, { min: 0, otherwise: "must not be negative" }) ?? 0);
  });
  return { enabled, disabled: new Set(fieldsListOf(set["disabled"], `${path}.disabled`).map((plugin, i) => stringOf(plugin["name"], `${path}.disabled[${i}].name`) ?? "")) };
}

/** Throws ConfigError for a profile that could not work. */
export function checkPoints(points: Points, { path, schedulerName }: { path: string; schedulerName: string }): void {
  requireKnown(points, path);
  const wants = (name: string, point: string): boolean => isOn(name, [points.get("multiPoint"), points.get(point)]);
  if (!wants(QUEUE_SORT, "queueSort")) throw new ConfigError(`only one queue sort plugin required for profile with scheduler name ${JSON.stringify(schedulerName)}, but got 0`);
  if (!wants(BINDER, "bind")) throw new ConfigError(`at least one bind plugin is needed for profile with scheduler name ${JSON.stringify(schedulerName)}`);
}

/** The default plugins as a profile wants them. */
export function pluginsOf(points: Points, known: readonly EnabledPlugin[]): EnabledPlugin[] {
  return known.flatMap((plugin) => enabled(plugin, points) ?? []);
}

/** Whether a profile lets pods be removed for others. */
export function preempts(points: Points): boolean {
  return isOn(PREEMPTION, [points.get("multiPoint"), points.get("postFilter")]);
}

function requireKnown(points: Points, path: string): void {
  const names = new Set([...PLUGIN_NAMES, ...REMOVED, QUEUE_SORT, BINDER, PREEMPTION]);
  // Turning off what is not there changes nothing.
  for (const [point, { enabled: on }] of points) {
    for (const name of on.keys()) if (!names.has(name)) throw new ConfigError(`${path}.${point}: plugin ${JSON.stringify(name)} does not exist`);
  }
}

/** A default plugin as the profile wants it; undefined when nothing of it is left. */
function enabled({ plugin, weight }: EnabledPlugin, points: Points): EnabledPlugin | undefined {
  const multiPoint = points.get("multiPoint");
  const at = (names: readonly string[]): (Point | undefined)[] => [multiPoint, ...names.map((name) => points.get(name))];
  const filters = isOn(plugin.name, at(FILTER_POINTS));
  const scores = isOn(plugin.name, at(SCORE_POINTS));
  const gates = isOn(plugin.name, at(["preEnqueue"]));
  if (!filters && !scores && !gates) return undefined;
  const asked = points.get("score")?.enabled.get(plugin.name) || multiPoint?.enabled.get(plugin.name) || weight;
  const { preEnqueue: _gate, ...ungated } = plugin;
  const kept: Plugin = gates ? plugin : ungated;
  return { plugin: kept, weight: scores ? asked : 0, filters };
}

/** On by default; each point in turn may turn it off or back on. */
function isOn(name: string, points: readonly (Point | undefined)[]): boolean {
  let on = true;
  for (const point of points) {
    if (!point) continue;
    if (point.enabled.has(name)) on = true;
    else if (point.disabled.has(name) || point.disabled.has("*")) on = false;
  }
  return on;
}
