// What the devices of one claim must have in common, or may not: attributes that match, attributes that differ.
// Each constraint follows the devices as they are taken and given back.
import { AllocationError, type Constraint, type Device } from "./types.ts";

type Attribute = NonNullable<Device["attributes"]>[string];

/** A device under consideration, and the request (with alternative) it is for. */
export interface Taking {
  readonly device: Device;
  readonly driver: string;
  readonly request: string;
  /** `request/alternative`; the request itself when it has no alternatives. */
  readonly fullRequest: string;
}

export interface ClaimConstraint {
  /** Takes the device; false when the constraint would not hold then, and nothing was taken. */
  add(taking: Taking): boolean;
  /** Gives back the last device taken. */
  remove(taking: Taking): void;
}

/** The constraints of a claim, for one attempt; throws AllocationError for one of an unknown kind. */
export function constraintsOf(constraints: readonly Constraint[] | undefined, claim: string): ClaimConstraint[] {
  return (constraints ?? []).map((constraint, index) => {
    const name = constraint.matchAttribute ?? constraint.distinctAttribute;
    if (name === undefined) throw new AllocationError(`claim ${claim}, constraint #${index}: empty constraint (unsupported constraint type?)`);
    return new AttributeConstraint(name, { isDistinct: constraint.matchAttribute === undefined, requests: new Set(constraint.requests) });
  });
}

/** All values of one attribute are the same, or all are different. */
class AttributeConstraint implements ClaimConstraint {
  readonly #values: string[] = [];

  constructor(private readonly attribute: string, private readonly rule: { readonly isDistinct: boolean; readonly requests: ReadonlySet<string> }) {}

  add(taking: Taking): boolean {
    if (!this.#concerns(taking)) return true;
    const value = valueOf(taking, this.attribute);
    if (value === undefined) return false;
    const [first] = this.#values;
    const holds = this.rule.isDistinct ? !this.#values.includes(value) : first === undefined || first === value;
    if (holds) this.#values.push(value);
    return holds;
  }

  remove(taking: Taking): void {
    if (this.#concerns(taking)) this.#values.pop();
  }

  #concerns({ request, fullRequest }: Taking): boolean {
    const { requests } = this.rule;
    return requests.size === 0 || requests.has(request) || requests.has(fullRequest);
  }
}

/** The value with its type, as text; undefined when the device has no such attribute. */
function valueOf({ device, driver }: Taking, attribute: string): string | undefined {
  const slash = attribute.indexOf("/");
  const own = attribute.slice(0, slash) === driver ? device.attributes?.[attribute.slice(slash + 1)] : undefined;
  const found: Attribute | undefined = device.attributes?.[attribute] ?? own;
  if (!found) return undefined;
  for (const type of ["string", "int", "bool", "version"] as const) if (found[type] !== undefined) return `${type}:${String(found[type])}`;
  return undefined;
}
