// The part of etcd's v3 API a store needs: messages, methods and key ranges, described here so that nothing is read from disk.
// Field numbers are those of etcdserverpb and mvccpb; what calls mean is the caller's.
import protobuf from "protobufjs";

const SOURCE = `syntax = "proto3";
message KeyValue { bytes key = 1; int64 create_revision = 2; int64 mod_revision = 3; bytes value = 5; int64 lease = 6; }
message Event { int32 type = 1; KeyValue kv = 2; KeyValue prev_kv = 3; }
message ResponseHeader { int64 revision = 3; }
message RangeRequest { bytes key = 1; bytes range_end = 2; int64 limit = 3; int64 revision = 4; bool keys_only = 8; bool count_only = 9; }
message RangeResponse { ResponseHeader header = 1; repeated KeyValue kvs = 2; bool more = 3; int64 count = 4; }
message PutRequest { bytes key = 1; bytes value = 2; int64 lease = 3; }
message PutResponse { ResponseHeader header = 1; }
message DeleteRangeRequest { bytes key = 1; bytes range_end = 2; }
message DeleteRangeResponse { ResponseHeader header = 1; int64 deleted = 2; }
message RequestOp { oneof request { RangeRequest request_range = 1; PutRequest request_put = 2; DeleteRangeRequest request_delete_range = 3; } }
message ResponseOp { oneof response { RangeResponse response_range = 1; PutResponse response_put = 2; DeleteRangeResponse response_delete_range = 3; } }
message Compare { int32 result = 1; int32 target = 2; bytes key = 3; oneof target_union { int64 mod_revision = 6; } }
message TxnRequest { repeated Compare compare = 1; repeated RequestOp success = 2; repeated RequestOp failure = 3; }
message TxnResponse { ResponseHeader header = 1; bool succeeded = 2; repeated ResponseOp responses = 3; }
message CompactionRequest { int64 revision = 1; }
message CompactionResponse { ResponseHeader header = 1; }
message WatchRequest { oneof request_union { WatchCreateRequest create_request = 1; } }
message WatchCreateRequest { bytes key = 1; bytes range_end = 2; int64 start_revision = 3; bool prev_kv = 6; }
message WatchResponse { ResponseHeader header = 1; bool created = 3; bool canceled = 4; int64 compact_revision = 5; string cancel_reason = 6; repeated Event events = 11; }
message LeaseGrantRequest { int64 TTL = 1; int64 ID = 2; }
message LeaseGrantResponse { ResponseHeader header = 1; int64 ID = 2; int64 TTL = 3; string error = 4; }
`;

export interface KeyValue {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly createRevision: number;
  readonly modRevision: number;
}

interface Answer {
  readonly header: { readonly revision: number };
}

export interface RangeResponse extends Answer {
  readonly kvs: readonly KeyValue[];
  readonly more: boolean;
  readonly count: number;
}

export interface TxnResponse extends Answer {
  readonly succeeded: boolean;
  readonly responses: readonly { readonly responseRange?: RangeResponse | null; readonly responseDeleteRange?: { readonly deleted: number } | null }[];
}

export interface WatchEvent {
  /** 0 is a put, 1 a delete. */
  readonly type: number;
  readonly kv: KeyValue;
  readonly prevKv: KeyValue | null;
}

export interface WatchResponse extends Answer {
  readonly created: boolean;
  readonly canceled: boolean;
  readonly compactRevision: number;
  readonly cancelReason: string;
  readonly events: readonly WatchEvent[];
}

export interface LeaseGrantResponse extends Answer {
  readonly ID: number;
}

/** One call of etcd's API and how its two sides are written on the wire. */
export interface Method<Response> {
  readonly path: string;
  readonly encode: (request: object) => Buffer;
  readonly decode: (bytes: Buffer) => Response;
}

const DECODE = { longs: Number, arrays: true, defaults: true } as const;
const { root } = protobuf.parse(SOURCE);

function method<Response>(path: string, message: string, response = `${message}Response`): Method<Response> {
  const [requestType, responseType] = [root.lookupType(`${message}Request`), root.lookupType(response)];
  return {
    path: `/etcdserverpb.${path}`,
    encode: (request) => Buffer.from(requestType.encode(request).finish()),
    decode: (bytes) => responseType.toObject(responseType.decode(bytes), DECODE) as Response,
  };
}

export const RANGE = method<RangeResponse>("KV/Range", "Range");
export const TXN = method<TxnResponse>("KV/Txn", "Txn");
export const COMPACT = method<Answer>("KV/Compact", "Compaction");
export const LEASE_GRANT = method<LeaseGrantResponse>("Lease/LeaseGrant", "LeaseGrant");
export const WATCH = method<WatchResponse>("Watch/Watch", "Watch");

/** `Compare.target` for the revision of the last write; 0 is what an absent key compares as. */
export const COMPARE_MOD = 2;

/** A range of keys as etcd takes it. */
export interface KeyRange {
  readonly key: Buffer;
  readonly rangeEnd: Buffer;
}

/** All keys that start with `prefix`, which is not empty. */
export function prefixRange(prefix: string): KeyRange {
  const key = Buffer.from(prefix);
  const rangeEnd = Buffer.from(key);
  // Keys are UTF-8, in which no byte is 255.
  rangeEnd[rangeEnd.length - 1] = (rangeEnd[rangeEnd.length - 1] as number) + 1;
  return { key, rangeEnd };
}
