// The errors of the Kubernetes API: one class that becomes a `Status`, and constructors in upstream's words.
// Reasons and codes: k8s.io/apimachinery/pkg/api/errors; field causes: pkg/util/validation/field.

/** One invalid field: `field` is a path such as `spec.containers[0].image`. */
export interface FieldError {
  readonly field: string;
  /** `FieldValueInvalid`, `FieldValueRequired`, ... */
  readonly reason: FieldErrorReason;
  /** The whole sentence after the path, such as `Invalid value: "x": must be ...`. */
  readonly message: string;
}

export type FieldErrorReason =
  | "FieldValueNotFound" | "FieldValueRequired" | "FieldValueDuplicate" | "FieldValueInvalid" | "FieldValueNotSupported"
  | "FieldValueForbidden" | "FieldValueTooLong" | "FieldValueTooMany" | "InternalError" | "FieldValueTypeInvalid";

export interface StatusCause {
  readonly reason?: string;
  readonly message?: string;
  readonly field?: string;
}

export interface StatusDetails {
  readonly name?: string;
  readonly group?: string;
  readonly kind?: string;
  readonly uid?: string;
  readonly causes?: readonly StatusCause[];
  readonly retryAfterSeconds?: number;
}

/** An error that crosses HTTP as a `Status` object; `message` is upstream's wording because people search for it. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  // A Status has these five parts; callers use the constructors below.
  // oxlint-disable-next-line max-params
  constructor(
    readonly code: number,
    readonly reason: string,
    message: string,
    readonly details?: StatusDetails,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }

  /** The `Status` body a client receives. */
  toStatus(): Record<string, unknown> {
    return {
      kind: "Status", apiVersion: "v1", metadata: {}, status: "Failure", message: this.message,
      ...(this.reason !== "" && { reason: this.reason }),
      ...(this.details && { details: this.details }),
      code: this.code,
    };
  }

  /** Reads a `Status` body back into an error; anything else becomes an error that quotes it. */
  static fromStatus(code: number, body: unknown): ApiError {
    const status = body as { kind?: string; reason?: string; message?: string; code?: number; details?: StatusDetails } | undefined;
    if (status?.kind !== "Status") return new ApiError(code, reasonOf(code), typeof body === "string" && body !== "" ? body : `the server answered ${code}`);
    return new ApiError(status.code ?? code, status.reason ?? "", status.message ?? "", status.details);
  }
}

/** What an error names: the resource (or kind) and its group. */
export interface ResourceName {
  readonly group: string;
  readonly plural: string;
}

const qualified = (r: ResourceName): string => (r.group === "" ? r.plural : `${r.plural}.${r.group}`);
const detailsOf = (r: ResourceName, name: string): StatusDetails => ({ ...(name && { name }), ...(r.group && { group: r.group }), kind: r.plural });

export const notFound = (r: ResourceName, name: string): ApiError =>
  new ApiError(404, "NotFound", `${qualified(r)} "${name}" not found`, detailsOf(r, name));

export const alreadyExists = (r: ResourceName, name: string): ApiError =>
  new ApiError(409, "AlreadyExists", `${qualified(r)} "${name}" already exists`, detailsOf(r, name));

export const conflict = (r: ResourceName, name: string, why: string): ApiError =>
  new ApiError(409, "Conflict", `Operation cannot be fulfilled on ${qualified(r)} "${name}": ${why}`, detailsOf(r, name));

/** The conflict every client's retry loop looks for. */
export const modifiedConflict = (r: ResourceName, name: string): ApiError =>
  conflict(r, name, "the object has been modified; please apply your changes to the latest version and try again");

export const forbidden = (r: ResourceName, name: string, why: string): ApiError =>
  new ApiError(403, "Forbidden", `${qualified(r)}${name === "" ? "" : ` "${name}"`} is forbidden: ${why}`, detailsOf(r, name));

export const unauthorized = (): ApiError => new ApiError(401, "Unauthorized", "Unauthorized");
export const badRequest = (message: string): ApiError => new ApiError(400, "BadRequest", message);
export const gone = (message: string): ApiError => new ApiError(410, "Expired", message);
export const internalError = (error: unknown): ApiError => {
  const text = error instanceof Error ? error.message : String(error);
  return new ApiError(500, "InternalError", `Internal error occurred: ${text}`, { causes: [{ message: text }] }, { cause: error });
};
export const methodNotSupported = (r: ResourceName, verb: string): ApiError =>
  new ApiError(405, "MethodNotAllowed", `${verb} is not supported on resources of kind "${qualified(r)}"`, detailsOf(r, ""));
export const tooManyRequests = (message: string, retryAfterSeconds: number): ApiError =>
  new ApiError(429, "TooManyRequests", message, { retryAfterSeconds });
export const serviceUnavailable = (message: string): ApiError => new ApiError(503, "ServiceUnavailable", message);
export const requestTooLarge = (message: string): ApiError => new ApiError(413, "RequestEntityTooLarge", message);
export const unsupportedMediaType = (message: string): ApiError => new ApiError(415, "UnsupportedMediaType", message);
export const notAcceptable = (message: string): ApiError => new ApiError(406, "NotAcceptable", message);

/** 422 with one cause per field, worded as upstream aggregates them. */
export function invalid(gk: { group: string; kind: string }, name: string, errors: readonly FieldError[]): ApiError {
  const sentences = [...new Set(errors.map((e) => `${e.field}: ${e.message}`))];
  const aggregate = sentences.length === 1 ? sentences[0] : `[${sentences.join(", ")}]`;
  const qualifiedKind = gk.group === "" ? gk.kind : `${gk.kind}.${gk.group}`;
  return new ApiError(422, "Invalid", `${qualifiedKind} "${name}" is invalid: ${aggregate}`, {
    ...(name && { name }), ...(gk.group && { group: gk.group }), kind: gk.kind,
    causes: errors.map((e) => ({ reason: e.reason, message: e.message, field: e.field })),
  });
}

/** Constructors for field errors, one per upstream `field.ErrorType`. */
export const field = {
  required: (path: string, detail = ""): FieldError => ({ field: path, reason: "FieldValueRequired", message: withDetail("Required value", detail) }),
  invalid: (path: string, value: unknown, detail: string): FieldError => ({ field: path, reason: "FieldValueInvalid", message: withDetail(`Invalid value: ${shown(value)}`, detail) }),
  notSupported: (path: string, value: unknown, supported: readonly string[]): FieldError => ({
    field: path, reason: "FieldValueNotSupported",
    message: withDetail(`Unsupported value: ${shown(value)}`, supported.length ? `supported values: ${supported.map((s) => JSON.stringify(s)).join(", ")}` : ""),
  }),
  duplicate: (path: string, value: unknown): FieldError => ({ field: path, reason: "FieldValueDuplicate", message: `Duplicate value: ${shown(value)}` }),
  forbidden: (path: string, detail: string): FieldError => ({ field: path, reason: "FieldValueForbidden", message: withDetail("Forbidden", detail) }),
  notFound: (path: string, value: unknown): FieldError => ({ field: path, reason: "FieldValueNotFound", message: `Not found: ${shown(value)}` }),
  tooLong: (path: string, maxLength: number): FieldError => ({ field: path, reason: "FieldValueTooLong", message: `Too long: may not be more than ${maxLength} bytes` }),
  tooMany: (path: string, actual: number, max: number): FieldError => ({ field: path, reason: "FieldValueTooMany", message: `Too many: ${actual}: must have at most ${max} items` }),
  typeInvalid: (path: string, value: unknown, detail: string): FieldError => ({ field: path, reason: "FieldValueTypeInvalid", message: withDetail(`Invalid value: ${shown(value)}`, detail) }),
};

/** True for an ApiError with this HTTP code. */
export const isApiError = (error: unknown, code: number): error is ApiError => error instanceof ApiError && error.code === code;
export const isNotFound = (error: unknown): boolean => isApiError(error, 404);
export const isConflict = (error: unknown): boolean => error instanceof ApiError && error.reason === "Conflict";
export const isAlreadyExists = (error: unknown): boolean => error instanceof ApiError && error.reason === "AlreadyExists";

/** The answer, or undefined when what was asked for does not exist; any other error is thrown on. */
export async function orAbsent<T>(call: Promise<T>): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}
export const isExpired = (error: unknown): boolean => isApiError(error, 410);

/** The server refuses everything new in a namespace being deleted; retrying is pointless. */
/** Whether a write that failed like this may have been carried out all the same: only its answer is known to be missing. */
export function mayHaveLanded(error: unknown): boolean {
  return !(error instanceof ApiError) || error.code >= 500;
}

export function isNamespaceTerminating(error: unknown): boolean {
  return error instanceof ApiError && (error.details?.causes ?? []).some((cause) => cause.reason === "NamespaceTerminating");
}

function withDetail(head: string, detail: string): string {
  return detail === "" ? head : `${head}: ${detail}`;
}

function shown(value: unknown): string {
  return value === undefined ? "null" : JSON.stringify(value);
}

function reasonOf(code: number): string {
  const reasons: Record<number, string> = { 400: "BadRequest", 401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 405: "MethodNotAllowed", 406: "NotAcceptable", 409: "Conflict", 410: "Gone", 413: "RequestEntityTooLarge", 415: "UnsupportedMediaType", 422: "Invalid", 429: "TooManyRequests", 500: "InternalError", 503: "ServiceUnavailable", 504: "Timeout" };
  return reasons[code] ?? "";
}
