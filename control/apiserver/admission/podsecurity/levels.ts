// What a namespace's labels say about the security of its pods: a level and a version for each of three modes.
import { field, type FieldError } from "../../../../api/errors.ts";

export type Level = "privileged" | "baseline" | "restricted";

/** A level as it was defined at a minor version; `latest` is the newest there is. */
export interface LevelVersion {
  readonly level: Level;
  readonly minor: number | "latest";
}

export type Mode = "enforce" | "audit" | "warn";
export type Policy = Readonly<Record<Mode, LevelVersion>>;

const PREFIX = "pod-security.kubernetes.io/";
const ORDER: readonly Level[] = ["privileged", "baseline", "restricted"];
const PRIVILEGED: LevelVersion = { level: "privileged", minor: "latest" };
const VERSION = /^v1\.(0|[1-9][0-9]*)$/;

/** `restricted:latest`, `baseline:v1.24`. */
export function formatLevel({ level, minor }: LevelVersion): string {
  return `${level}:${minor === "latest" ? minor : `v1.${minor}`}`;
}

/** How much stricter `a` is than `b`. */
export function compareLevels(a: Level, b: Level): number {
  return ORDER.indexOf(a) - ORDER.indexOf(b);
}

/** Reads the labels; what cannot be read enforces the strictest level and is otherwise ignored, as upstream fails. */
export function policyOf(labels: Readonly<Record<string, string>> | undefined): { policy: Policy; errors: FieldError[] } {
  const errors: FieldError[] = [];
  if (!labels) return { policy: { enforce: PRIVILEGED, audit: PRIVILEGED, warn: PRIVILEGED }, errors };
  const enforce = modeOf(labels, "enforce", errors);
  const audit = modeOf(labels, "audit", errors);
  const warn = modeOf(labels, "warn", errors);
  const follows = labels[`${PREFIX}warn`] === undefined && isLevel(labels[`${PREFIX}enforce`]) && compareLevels(enforce.level, warn.level) > 0;
  const warnVersion = labels[`${PREFIX}warn-version`] === undefined ? enforce.minor : warn.minor;
  return { policy: { enforce, audit, warn: follows ? { level: enforce.level, minor: warnVersion } : warn }, errors };
}

/** Whether a policy asks for nothing. */
export function isPrivileged({ enforce, audit, warn }: Policy): boolean {
  return [enforce, audit, warn].every(({ level }) => level === "privileged");
}

function modeOf(labels: Readonly<Record<string, string>>, mode: Mode, errors: FieldError[]): LevelVersion {
  const [level, version] = [labels[`${PREFIX}${mode}`], labels[`${PREFIX}${mode}-version`]];
  const refuse = (label: string, value: string, why: string): void => void errors.push(field.invalid(`metadata.labels[${PREFIX}${label}]`, value, why));
  if (level !== undefined && !isLevel(level)) refuse(mode, level, `must be one of ${ORDER.join(", ")}`);
  const minor = version === undefined || version === "latest" ? "latest" : VERSION.exec(version)?.[1];
  if (minor === undefined) refuse(`${mode}-version`, version as string, 'must be "latest" or "v1.x"');
  const fallback: Level = mode === "enforce" && level !== undefined ? "restricted" : "privileged";
  return { level: isLevel(level) ? level : fallback, minor: minor === undefined || minor === "latest" ? "latest" : Number(minor) };
}

function isLevel(text: string | undefined): text is Level {
  return ORDER.includes(text as Level);
}
