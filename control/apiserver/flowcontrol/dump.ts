// `/debug/api_priority_and_fairness/...`: levels, queues and requests as the tables upstream prints.
import type { FlowControl } from "./control.ts";
import type { Level } from "./level.ts";
import type { Seating } from "./seating.ts";

const LEVELS = ["PriorityLevelName", "ActiveQueues", "IsIdle", "IsQuiescing", "WaitingRequests", "ExecutingRequests", "DispatchedRequests", "RejectedRequests", "TimedoutRequests", "CancelledRequests"];
const QUEUES = ["PriorityLevelName", "Index", "PendingRequests", "ExecutingRequests", "SeatsInUse", "NextDispatchR", "InitialSeatsSum", "MaxSeatsSum", "TotalWorkSum"];
const REQUESTS = ["PriorityLevelName", "FlowSchemaName", "QueueIndex", "RequestIndexInQueue", "FlowDistingsher", "ArriveTime", "InitialSeats", "FinalSeats", "AdditionalLatency", "StartTime"];
const DETAILS = ["UserName", "Verb", "APIPath", "Namespace", "Name", "APIVersion", "Resource", "SubResource"];
const NEVER = "0001-01-01T00:00:00Z";
const MIN_WIDTH = 8;
/** What a request is taken to last, in seconds. */
const GUESSED_SECONDS = 0.003;

type Row = readonly (string | number | boolean)[];

/** The table a path names, undefined for a path that is none. */
export function dumpOf(control: FlowControl, path: string, withDetails: boolean): string | undefined {
  const levels = [...control.levels.values()].sort((a, b) => (a.config.name < b.config.name ? -1 : 1));
  if (path.endsWith("/dump_priority_levels")) return table([LEVELS, ...levels.map(levelRow)]);
  if (path.endsWith("/dump_queues")) return table([QUEUES, ...levels.flatMap(queueRows)]);
  if (path.endsWith("/dump_requests")) return table([withDetails ? [...REQUESTS, ...DETAILS] : REQUESTS, ...levels.flatMap((level) => requestRows(level, withDetails))]);
  return undefined;
}

function levelRow(level: Level): Row {
  const active = level.queues().filter(({ waiting }) => waiting.size > 0).length;
  const { refused } = level;
  return [level.config.name, active, level.isIdle, level.isQuiescing, level.waiting, level.running.size, level.dispatched, refused["queue-full"] + refused["concurrency-limit"], refused["time-out"], refused.cancelled];
}

function queueRows(level: Level): Row[] {
  const made = new Map(level.queues().map((queue) => [queue.index, queue]));
  return Array.from({ length: level.config.queuing?.queues ?? 0 }, (_, index) => {
    const queue = made.get(index);
    const seats = queue?.waitingSeats ?? 0;
    return [level.config.name, index, queue?.waiting.size ?? 0, queue?.executing ?? 0, queue?.seatsInUse ?? 0, seatSeconds((queue?.nextR ?? 0) / 1000), seats, seats, seatSeconds(seats * GUESSED_SECONDS)];
  });
}

function requestRows(level: Level, withDetails: boolean): Row[] {
  const waiting = level.queues().flatMap((queue) => [...queue.waiting].map((waiter, index) => requestRow(waiter, { queue: queue.index, index, started: NEVER })));
  const running = [...level.running].map((seating) => requestRow(seating, { queue: seating.queue?.index ?? -1, index: -1, started: moment(seating.startedMs) }));
  return [...waiting, ...running].map(({ row, details }) => (withDetails ? [...row, ...details] : row));
}

function requestRow({ flow, digest, seats, arrivedMs }: Seating, { queue, index, started }: { queue: number; index: number; started: string }): { row: Row; details: Row } {
  const [resource = "", subresource = ""] = digest.resource.split("/");
  return {
    row: [flow.level.config.name, flow.schema.name, queue, index, flow.distinguisher, moment(arrivedMs), seats, 0, "0s", started],
    details: [digest.user.name, digest.verb, digest.path ?? "", digest.namespace, "", digest.group, resource, subresource],
  };
}

function moment(ms: number): string {
  return new Date(performance.timeOrigin + ms).toISOString();
}

function seatSeconds(value: number): string {
  return `${value.toFixed(8)}ss`;
}

/** Columns aligned by spaces; cells end in a comma. */
function table(rows: readonly Row[]): string {
  const texts = rows.map((row) => row.map((cell, index) => (index < row.length - 1 ? `${cell},` : String(cell))));
  const widths = (texts[0] ?? []).map((_, column) => Math.max(MIN_WIDTH, ...texts.map((row) => (row[column] ?? "").length + 1)));
  return texts.map((row) => `${row.map((cell, column) => (column < row.length - 1 ? cell.padEnd(widths[column] as number) : cell)).join("")}\n`).join("");
}
