// What one kind adds to the general verbs: defaults, what may change, what is valid, what a table shows.
// A kind is one row in `api/kinds.ts` and one strategy file here; everything is optional but the kind itself.
import type { FieldError } from "../../../api/errors.ts";
import type { KindInfo } from "../../../api/kinds.ts";
import type { AnyObject } from "../../../api/types.ts";
import type { Client } from "../../../api/client/client.ts";
import type { UserInfo } from "../request.ts";

/** What a strategy may look at beyond the objects: read-only access to the rest of the cluster. */
export interface StrategyContext {
  readonly user: UserInfo;
  readonly now: string;
  readonly dryRun: boolean;
  /** Acts as the API server itself, in process. */
  readonly client: Client;
  /** Text for a `Warning` header. */
  warn(text: string): void;
}

/** A column of `kubectl get`; `priority` above 0 shows only with `-o wide`. */
export interface TableColumn {
  readonly name: string;
  readonly type: "string" | "integer" | "number" | "boolean" | "date";
  readonly format?: string;
  readonly description: string;
  readonly priority: number;
}

/** How a kind is printed: columns and the cells of one object, in the same order. */
export interface Printer<T = AnyObject> {
  readonly columns: readonly TableColumn[];
  /** `now` in milliseconds, for ages. */
  cells(object: T, now: number): readonly (string | number | boolean | null)[];
  /** The order of rows, when it is not that of the list. */
  compare?(a: T, b: T): number;
}

/** How one subresource (`status`, `resize`, ...) may change the object: it gets the new and the stored object. */
export interface UpdateRules<T = AnyObject> {
  /** Puts back what this endpoint may not touch; mutates `object`, never `old`. */
  prepareForUpdate?(object: T, old: T, context: StrategyContext): void | Promise<void>;
  validateUpdate?(object: T, old: T, context: StrategyContext): readonly FieldError[];
}

/**
 * The behaviour of one kind. Called on a private, already decoded copy, in the order of the methods below.
 * Status is reset on create and kept on update of the main resource by the verbs for kinds with a `status` subresource.
 */
export interface Strategy<T = AnyObject> extends UpdateRules<T> {
  readonly group: string;
  readonly kind: string;
  /** The one version meant, for kinds that behave differently in each. */
  readonly version?: string;
  /** Sets defaults that depend on other fields; constant ones come from the schema. Must be idempotent; mutates. */
  applyDefaults?(object: T): void;
  prepareForCreate?(object: T, context: StrategyContext): void | Promise<void>;
  /** Takes what must be unique in the cluster (cluster IPs, node ports); returns how to give it back if the write fails. */
  allocate?(object: T, old: T | undefined, context: StrategyContext): Promise<(() => Promise<void>) | undefined>;
  /** Called once a new version is stored (never on a dry run), to give back what only the old one held. */
  afterUpdate?(object: T, old: T, context: StrategyContext): void | Promise<void>;
  /** Gives back what `allocate` took, once the object is gone. */
  release?(object: T, context: StrategyContext): Promise<void>;
  /** How `metadata.name` is checked; DNS subdomain when left out. Returns sentences, empty when valid. */
  validateName?(name: string, isPrefix: boolean): readonly string[];
  validate?(object: T, context: StrategyContext): readonly FieldError[];
  /** Called on creates only, along with `validate`. */
  validateCreate?(object: T, context: StrategyContext): readonly FieldError[];
  /** Called after `prepareForUpdate`; when left out, `validate` alone decides. `validate` runs on updates too. */
  validateUpdate?(object: T, old: T, context: StrategyContext): readonly FieldError[];
  /** Rules for subresources that are views of the object, by name. */
  readonly subresources?: Readonly<Record<string, UpdateRules<T>>>;
  /** Status sent with a create is stored instead of reset, as for Nodes, which register with theirs. */
  readonly keepsStatusOnCreate?: boolean;
  /** PUT on a missing name creates it, as for Leases and Endpoints. */
  readonly allowCreateOnUpdate?: boolean;
  /** PUT without a resourceVersion overwrites. False for most kinds of `apps`-like specs upstream guards. */
  readonly allowUnconditionalUpdate?: boolean;
  /** What a spec change is, for `metadata.generation`: true when this kind counts generations (default: it has a spec and a status subresource). */
  readonly hasGeneration?: boolean;
  /** Seconds of grace a delete gets; 0 or undefined removes at once. Pods are the kind that has some. */
  gracePeriodSeconds?(object: T, requested: number | undefined): number | undefined;
  /** The propagation when DeleteOptions says none; background when left out. */
  readonly defaultPropagation?: "Background" | "Orphan";
  /** The fields a field selector may name, beyond metadata.name and metadata.namespace. */
  selectableFields?(object: T): Readonly<Record<string, string>>;
  /** Seconds after which the stored object deletes itself, for Events. */
  ttlSeconds?(object: T): number | undefined;
  /** What everybody who asks for this kind in this version is told. */
  readonly deprecation?: string;
  readonly printer?: Printer<T>;
  /** How `/scale` maps: JSON paths as in CustomResourceDefinitions, selector as a label selector string. */
  readonly scale?: { replicas(o: T): number; statusReplicas(o: T): number; selector(o: T): string; setReplicas(o: T, n: number): void };
  /** Converts between this served version and the stored one, for kinds with `storedAs`. */
  readonly convert?: { toStored(object: AnyObject): AnyObject; fromStored(object: AnyObject): AnyObject };
  /** The same for kinds added at run time, several objects at once, because a webhook may have to be asked. */
  readonly conversion?: Conversion;
}

/** Between what is stored and what is served of a kind added at run time. Objects given are shared, those returned private or the ones given. */
export interface Conversion {
  /** Another one whenever the outcome for the same object could be another. */
  readonly key: string;
  /** What is not stored in this form has to be asked for, which takes its time. */
  readonly isAsynchronous?: boolean;
  fromStored(objects: readonly AnyObject[]): readonly AnyObject[] | Promise<readonly AnyObject[]>;
  toStored(object: AnyObject): AnyObject | Promise<AnyObject>;
}

/** Finds the strategy of a kind; every kind has one, the default one doing nothing special. */
export interface Strategies {
  for(kind: KindInfo): Strategy;
}
