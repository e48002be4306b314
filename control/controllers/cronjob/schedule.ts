// Cron schedules as Kubernetes reads them: five fields, descriptors, `@every`, in a time zone. Pure.
// Missed times are counted as k8s.io/kubernetes/pkg/controller/cronjob/utils.go does.
import { Cron } from "croner";

/** The schedule or the time zone cannot be understood. */
export class ScheduleError extends Error {
  override readonly name = "ScheduleError";
}

/** A parsed schedule. */
export interface Schedule {
  /** The first time after `ms`, in milliseconds; undefined when there is none. */
  next(ms: number): number | undefined;
}

const UNITS: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1000 };

/** Parses a schedule; `TZ=` in it wins over `timeZone`, UTC is meant without either. Throws ScheduleError. */
export function parseSchedule(text: string, timeZone?: string): Schedule {
  const [, zone, pattern] = /^(?:(?:CRON_)?TZ=(\S+)\s+)?(.*)$/s.exec(text.trim()) as unknown as [string, string | undefined, string];
  const every = /^@every\s+((?:\d+[hms])+)$/.exec(pattern);
  if (every) return everyMs([...(every[1] as string).matchAll(/(\d+)([hms])/g)].reduce((total, [, count, unit]) => total + Number(count) * (UNITS[unit as string] as number), 0));
  const fields = pattern.startsWith("@") ? pattern : pattern.replaceAll("?", "*");
  if (!pattern.startsWith("@") && fields.split(/\s+/).length !== 5) throw new ScheduleError(`expected exactly 5 fields, found ${fields.split(/\s+/).length}: [${fields}]`);
  try {
    const cron = new Cron(fields, { timezone: zone ?? timeZone ?? "UTC", paused: true });
    cron.nextRun();
    return { next: (ms) => cron.nextRun(new Date(ms))?.getTime() };
  } catch (error) {
    throw new ScheduleError((error as Error).message, { cause: error });
  }
}

/** The times a CronJob is about. */
export interface Times {
  /** The latest scheduled time that has come and not been served; undefined when none has. */
  readonly due: number | undefined;
  /** More than a hundred were missed since. */
  readonly isFarBehind: boolean;
  /** Why a schedule that can be read makes no sense, in upstream's words. */
  readonly problem?: string;
}

const NEVER: Times = { due: undefined, isFarBehind: false, problem: "time difference between two schedules is less than 1 second" };

/** Which run is due now, given when the last one was scheduled (or the CronJob created). */
export function dueTime(schedule: Schedule, since: number, now: number): Times {
  const first = schedule.next(since);
  if (first === undefined) return NEVER;
  if (first > now) return { due: undefined, isFarBehind: false };
  const second = schedule.next(first);
  if (second === undefined || second > now) return { due: first, isFarBehind: false };
  const interval = Math.round((second - first) / 1000) * 1000;
  if (interval < 1000) return NEVER;
  const missed = Math.floor((now - first) / interval) + 1;
  let due: number | undefined;
  // Nearly there at once, then step by step: schedules are not all regular.
  for (let time = schedule.next(first + (missed - 2) * interval); time !== undefined && time <= now; time = schedule.next(time)) due = time;
  return { due: due ?? latestFrom(schedule, first, now), isFarBehind: missed > 100 };
}

function latestFrom(schedule: Schedule, first: number, now: number): number {
  let due = first;
  for (let steps = 0, time = schedule.next(first); time !== undefined && time <= now && steps < 10_000; steps++, time = schedule.next(time)) due = time;
  return due;
}

function everyMs(ms: number): Schedule {
  const step = Math.max(1000, ms);
  return { next: (from) => Math.floor(from / 1000) * 1000 + step };
}
