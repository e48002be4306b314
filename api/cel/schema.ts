// What of a schema CEL cares about: types, names, and how large a value can be.
// Whole schemas of custom resources, and OpenAPI's, are such schemas.

/** The part of a JSON schema that decides types and sizes in CEL. */
export interface CelSchema {
  readonly type?: string;
  readonly format?: string;
  readonly maxItems?: number;
  readonly maxProperties?: number;
  readonly required?: readonly string[];
  readonly default?: unknown;
  readonly properties?: Readonly<Record<string, CelSchema>>;
  readonly additionalProperties?: CelSchema | boolean;
  readonly items?: CelSchema;
  readonly "x-kubernetes-preserve-unknown-fields"?: boolean;
  readonly "x-kubernetes-embedded-resource"?: boolean;
  readonly "x-kubernetes-int-or-string"?: boolean;
}
