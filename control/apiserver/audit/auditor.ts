// What was asked of the API server and what it answered, as audit.k8s.io/v1 Events: one JSON line a stage.
// How much of a request is recorded is decided once, by the policy, before anything else is done for it.
import type { Exchange, Request } from "../http/exchange.ts";
import type { Decision } from "../auth/auth.ts";
import type { UserInfo } from "../request.ts";
import { isLongRunning } from "../http/seat.ts";
import type { Target } from "../http/target.ts";
import { isAtLeast, verdictOf, type Level, type Policy, type Stage, type Verdict } from "./policy.ts";
import { objectReference, responseStatus, userText, withoutManagedFields, type ObjectReference } from "./event.ts";

/** Takes lines and sees to it that they are kept. */
export interface AuditSink {
  /** As `/metrics` names it. */
  readonly plugin: string;
  add(line: string): void;
  readonly lost: number;
  close(): Promise<void>;
}

/** A request as the audit sees it when it arrives. */
export interface Arrived {
  readonly exchange: Pick<Exchange, "request">;
  readonly method: string;
  readonly target: Target;
  /** Undefined for one whose credentials were refused. */
  readonly user: UserInfo | undefined;
  readonly remoteAddress: string;
  readonly receivedMs: number;
}

/** Records requests as a policy says. */
export class Auditor {
  readonly #levels: Record<Level, number> = { None: 0, Metadata: 0, Request: 0, RequestResponse: 0 };
  #events = 0;

  constructor(private readonly policy: Policy, private readonly sinks: readonly AuditSink[]) {}

  /** Starts to record; undefined for a request the policy is not interested in. */
  begin(id: string, arrived: Arrived): Trail | undefined {
    const verb = arrived.target.type === "path" ? arrived.method.toLowerCase() : arrived.target.verb;
    const verdict = verdictOf(this.policy, { user: arrived.user, verb, target: arrived.target });
    this.#levels[verdict.level]++;
    if (verdict.level === "None") return undefined;
    const trail = new Trail({ id, verb, verdict, arrived }, (line) => {
      this.#events++;
      for (const sink of this.sinks) sink.add(line);
    });
    if (arrived.user) trail.stage("RequestReceived");
    return trail;
  }

  /** Writes what is left. */
  async close(): Promise<void> {
    await Promise.all(this.sinks.map((sink) => sink.close()));
  }

  /** Its part of `/metrics`. */
  text(): string {
    return [
      "# HELP apiserver_audit_event_total Counter of audit events generated and sent to the audit backend.", "# TYPE apiserver_audit_event_total counter", `apiserver_audit_event_total ${this.#events}`,
      "# HELP apiserver_audit_level_total Counter of policy levels for audit events (1 per request).", "# TYPE apiserver_audit_level_total counter", ...Object.entries(this.#levels).map(([level, count]) => `apiserver_audit_level_total{level="${level}"} ${count}`),
      "# HELP apiserver_audit_error_total Counter of audit events that failed to be audited properly. Plugin identifies the plugin affected by the error.", "# TYPE apiserver_audit_error_total counter", ...this.sinks.map(({ plugin, lost }) => `apiserver_audit_error_total{plugin="${plugin}"} ${lost}`),
    ].join("\n");
  }
}

interface TrailFacts {
  readonly id: string;
  readonly verb: string;
  readonly verdict: Verdict;
  readonly arrived: Arrived;
}

/** What is known of one request so far. */
export class Trail {
  /** What plugins and the authorizer noted. */
  readonly annotations = new Map<string, string>();
  readonly #reference: ObjectReference | undefined;
  #impersonated: UserInfo | undefined;
  #requestText: string | undefined;
  #responseText: string | undefined;
  #status: Record<string, unknown> | undefined;
  #isComplete = false;

  constructor(private readonly facts: TrailFacts, private readonly write: (line: string) => void) {
    this.#reference = objectReference(facts.arrived.target);
  }

  /** Whether replies are to be kept whole. */
  get wantsResponse(): boolean {
    return isAtLeast(this.facts.verdict.level, "RequestResponse");
  }

  decided({ allowed, reason = "" }: Decision): void {
    this.annotations.set("authorization.k8s.io/decision", allowed ? "allow" : "forbid").set("authorization.k8s.io/reason", reason);
  }

  impersonated(user: UserInfo): void {
    this.#impersonated = user;
  }

  /** Notes the object that was sent; it is not kept. */
  requested(object: unknown): void {
    const { level, omitManagedFields } = this.facts.verdict;
    this.#reference?.complete(object);
    if (isAtLeast(level, "Request")) this.#requestText = JSON.stringify(omitManagedFields ? withoutManagedFields(object) : object);
  }

  /** Notes the reply; its body when it is a JSON text. */
  responded(code: number, body?: Buffer): void {
    this.#status = responseStatus(code, body);
    if (body && this.wantsResponse && (body[0] === 0x7b || body[0] === 0x5b)) this.#responseText = this.#shown(body.toString());
    if (isLongRunning(this.facts.arrived.target)) this.stage("ResponseStarted");
  }

  /** Notes that the credentials were refused. */
  unauthenticated(code: number, message: string): void {
    this.#status = { metadata: {}, message, code };
    this.#isComplete = true;
    this.stage("ResponseStarted");
  }

  /** Ends the record; `code` is that of the reply. */
  complete(code: number): void {
    if (this.#isComplete) return;
    this.#isComplete = true;
    this.#status ??= responseStatus(code);
    this.stage("ResponseComplete");
  }

  /** Writes an event unless the policy leaves the stage out. */
  stage(stage: Stage): void {
    const { id, verb, verdict, arrived } = this.facts;
    if (verdict.omitStages.has(stage)) return;
    const { request } = arrived.exchange;
    const head: Record<string, unknown> = {
      kind: "Event", apiVersion: "audit.k8s.io/v1", level: verdict.level, auditID: id, stage, requestURI: request.url, verb,
      user: userText(arrived.user), ...(this.#impersonated && { impersonatedUser: userText(this.#impersonated) }),
      sourceIPs: sourcesOf(request, arrived.remoteAddress), ...(request.headers["user-agent"] && { userAgent: request.headers["user-agent"] }),
      ...(this.#reference && { objectRef: this.#reference.fields }), ...(this.#status && stage !== "RequestReceived" && { responseStatus: this.#status }),
    };
    const tail = {
      requestReceivedTimestamp: microTime(arrived.receivedMs), stageTimestamp: microTime(performance.now()),
      ...(this.annotations.size > 0 && { annotations: Object.fromEntries([...this.annotations].toSorted(([a], [b]) => (a < b ? -1 : 1))) }),
    };
    const bodies = `${this.#requestText === undefined ? "" : `"requestObject":${this.#requestText},`}${this.#responseText === undefined ? "" : `"responseObject":${this.#responseText},`}`;
    this.write(`${JSON.stringify(head).slice(0, -1)},${bodies}${JSON.stringify(tail).slice(1)}`);
  }

  #shown(text: string): string | undefined {
    try {
      // A reply may be spread over lines; an event is one.
      const object = JSON.parse(text) as unknown;
      return JSON.stringify(this.facts.verdict.omitManagedFields ? withoutManagedFields(object) : object);
    } catch {
      return undefined;
    }
  }
}

function sourcesOf({ headers }: Request, remote: string): string[] {
  const forwarded = String(headers["x-forwarded-for"] ?? "").split(",").map((address) => address.trim()).filter((address) => address !== "");
  const real = headers["x-real-ip"];
  const sources = typeof real === "string" && real !== "" && !forwarded.includes(real) ? [...forwarded, real] : forwarded;
  const own = remote.replace(/^::ffff:/, "");
  return own === "" || sources.at(-1) === own ? sources : [...sources, own];
}

function microTime(ms: number): string {
  const micros = Math.floor((performance.timeOrigin + ms) * 1000);
  return `${new Date(Math.floor(micros / 1000)).toISOString().slice(0, 23)}${String(micros % 1000).padStart(3, "0")}Z`;
}
