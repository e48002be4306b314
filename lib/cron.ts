// What a cron schedule may look like: five fields, descriptors, `@every`, an optional time zone in front.
// The sentences are those of robfig/cron's standard parser, which people search for.

interface Bounds {
  readonly min: number;
  readonly max: number;
  readonly names?: readonly string[];
}

const MONTHS = ["", "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const FIELDS: readonly Bounds[] = [{ min: 0, max: 59 }, { min: 0, max: 23 }, { min: 1, max: 31 }, { min: 1, max: 12, names: MONTHS }, { min: 0, max: 6, names: DAYS }];
const DESCRIPTORS = ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"];
const DURATION = /^[-+]?(?:0|(?:(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+)$/;

/** What is wrong with a schedule; undefined when nothing is. */
export function cronError(text: string): string | undefined {
  if (text === "") return "empty spec string";
  const [, prefix, zone, rest] = /^(?:(TZ|CRON_TZ)=(\S*) ?)?(.*)$/s.exec(text) as unknown as [string, string?, string?, string?];
  if (prefix !== undefined && !isTimeZone(zone ?? "")) return `provided bad location ${zone}: unknown time zone ${zone}`;
  const schedule = (rest ?? "").trim();
  if (schedule.startsWith("@")) return descriptorError(schedule);
  const fields = schedule.split(/\s+/).filter((part) => part !== "");
  if (fields.length !== FIELDS.length) return `expected exactly 5 fields, found ${fields.length}: [${fields.join(" ")}]`;
  for (const [index, bounds] of FIELDS.entries()) {
    for (const part of (fields[index] as string).split(",").filter((expression) => expression !== "")) {
      const error = rangeError(part, bounds);
      if (error !== undefined) return error;
    }
  }
  return undefined;
}

/** Whether the time zone database knows a name. */
export function isTimeZone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat("en", { timeZone: name }).format(0).length > 0;
  } catch {
    return false;
  }
}

function descriptorError(text: string): string | undefined {
  if (DESCRIPTORS.includes(text)) return undefined;
  if (!text.startsWith("@every ")) return `unrecognized descriptor: ${text}`;
  const duration = text.slice("@every ".length);
  return DURATION.test(duration) ? undefined : `failed to parse duration ${text}: time: invalid duration ${JSON.stringify(duration)}`;
}

/** One of the comma-separated parts of a field: `*`, `5`, `mon-fri`, `0-30/5`. */
function rangeError(expression: string, { min, max, names }: Bounds): string | undefined {
  const [range = "", step, ...moreSteps] = expression.split("/");
  const [low = "", high, ...moreHighs] = range.split("-");
  let [start, end]: [number | string, number | string] = [min, max];
  if (low !== "*" && low !== "?") {
    if (moreHighs.length > 0) return `too many hyphens: ${expression}`;
    start = numberIn(low, expression, names);
    end = high === undefined ? start : numberIn(high, expression, names);
    if (typeof start === "string") return start;
    if (typeof end === "string") return end;
  }
  if (moreSteps.length > 0) return `too many slashes: ${expression}`;
  const stride = step === undefined ? 1 : numberIn(step, expression);
  if (typeof stride === "string") return stride;
  if (step !== undefined && high === undefined) end = max;
  if ((start as number) < min) return `beginning of range (${start}) below minimum (${min}): ${expression}`;
  if ((end as number) > max) return `end of range (${end}) above maximum (${max}): ${expression}`;
  if (start > end) return `beginning of range (${start}) beyond end of range (${end}): ${expression}`;
  return stride === 0 ? `step of range should be a positive number: ${expression}` : undefined;
}

/** The number, or what is wrong with it. */
function numberIn(text: string, expression: string, names: readonly string[] = []): number | string {
  const named = text === "" ? -1 : names.indexOf(text.toLowerCase());
  if (named >= 0) return named;
  if (!/^[-+]?\d+$/.test(text)) return `failed to parse int from ${text}: strconv.Atoi: parsing ${JSON.stringify(text)}: invalid syntax`;
  return Number(text) < 0 ? `negative number (${text}) not allowed: ${expression}` : Number(text);
}
