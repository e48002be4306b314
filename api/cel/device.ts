// Device selectors: the CEL expressions of classes and claims about a device in a ResourceSlice.
// Rules: k8s.io/dynamic-resource-allocation/cel.
import type { Environment } from "@marcbachmann/cel-js";
import { LruMap } from "../../lib/lru.ts";
import { parseQuantity } from "../quantity.ts";
import type { ResourceSlice } from "../types.ts";
import { compile, CompileError, type Program } from "./compile.ts";
import { actualCost, CALL_LIMIT } from "./cost.ts";
import { newEnvironment } from "./environment.ts";
import { CelQuantity, CelVersion, parseVersion } from "./quantities.ts";

export type Device = NonNullable<NonNullable<ResourceSlice["spec"]>["devices"]>[number];
type Attribute = NonNullable<Device["attributes"]>[string];
type Domains = Map<string, Map<string, unknown>>;

/** One selector, ready to be asked about devices. */
export interface DeviceSelector {
  /** Whether it selects the device of the driver; throws when that cannot be said. */
  matches(device: Device, driver: string): boolean;
}

const NO_FIELDS: ReadonlyMap<string, unknown> = new Map();
const TYPE = "kubernetes.DRADevice";
const REMEMBERED = 256;
const compiled = new LruMap<string, DeviceSelector | CompileError>(REMEMBERED);
/** What CEL sees of a device, made once for all selectors. */
const variables = new WeakMap<Device, Readonly<Record<string, unknown>>>();
let environment: Environment | undefined;

/** The selector of an expression, compiled once; throws CompileError. */
export function deviceSelector(expression: string): DeviceSelector {
  let known = compiled.get(expression);
  if (!known) compiled.set(expression, (known = tryCompile(expression)));
  if (known instanceof CompileError) throw known;
  return known;
}

function tryCompile(expression: string): DeviceSelector | CompileError {
  try {
    return new Selector(compileDeviceExpression(expression));
  } catch (error) {
    if (error instanceof CompileError) return error;
    throw error;
  }
}

/** Compiles an expression on `device`; throws CompileError. */
export function compileDeviceExpression(expression: string): Program {
  environment ??= declare(newEnvironment());
  const program = compile(environment, expression);
  if (program.type !== "bool" && program.type !== "dyn") throw new CompileError(`must evaluate to bool or the unknown type, not ${program.type}`);
  return program;
}

function declare(env: Environment): Environment {
  env.registerType(TYPE, { fields: { driver: "string", allowMultipleAllocations: "bool", attributes: "map<string, map<string, dyn>>", capacity: "map<string, map<string, kubernetes.Quantity>>" } });
  env.registerVariable("device", TYPE);
  return env;
}

class Selector implements DeviceSelector {
  /** A device never changes: what replaces it is another object. */
  readonly #answers = new WeakMap<Device, boolean>();

  constructor(private readonly program: Program) {}

  matches(device: Device, driver: string): boolean {
    const known = this.#answers.get(device);
    if (known !== undefined) return known;
    const input = variablesOf(device, driver);
    if (actualCost(this.program.ast, input) > CALL_LIMIT) throw new Error("operation cancelled: actual cost limit exceeded");
    const answer = this.program.evaluate(input);
    if (typeof answer !== "boolean") throw new Error("CEL result could not be converted to bool");
    this.#answers.set(device, answer);
    return answer;
  }
}

function variablesOf(device: Device, driver: string): Readonly<Record<string, unknown>> {
  let known = variables.get(device);
  if (!known) {
    const attributes = byDomain(device.attributes, driver, attributeValue);
    const capacity = byDomain(device.capacity, driver, ({ value }) => new CelQuantity(parseQuantity(value)));
    variables.set(device, (known = { device: { driver, allowMultipleAllocations: device.allowMultipleAllocations ?? false, attributes, capacity } }));
  }
  return known;
}

/** Names without a domain are in the driver's; a domain that is not there has no names, instead of being an error. */
function byDomain<T>(values: Readonly<Record<string, T>> | undefined, driver: string, toCel: (value: T) => unknown): Domains {
  const domains: Domains = new Map();
  for (const [name, value] of Object.entries(values ?? {})) {
    const slash = name.indexOf("/");
    const domain = slash < 0 ? driver : name.slice(0, slash);
    const names = domains.get(domain) ?? new Map<string, unknown>();
    domains.set(domain, names.set(name.slice(slash + 1), toCel(value)));
  }
  const { get } = Map.prototype;
  domains.get = (domain) => (get.call(domains, domain) ?? NO_FIELDS) as Map<string, unknown>;
  return domains;
}

function attributeValue(attribute: Attribute): unknown {
  const { int, bool, string, version } = attribute;
  if (int !== undefined) return BigInt(int);
  if (bool !== undefined) return bool;
  if (string !== undefined) return string;
  const parsed = version === undefined ? undefined : parseVersion(version);
  if (!parsed) throw new Error(version === undefined ? "unsupported attribute value" : `parse semantic version: ${JSON.stringify(version)} is none`);
  return new CelVersion(parsed);
}
