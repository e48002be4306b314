// What a controller is, what it is given, and the loop nearly all of them share.
// Which controllers there are is `index.ts`'s business.
import type { Client } from "../../api/client/client.ts";
import { keyOf, type Informer, type Informers, type Key } from "../../api/client/informer.ts";
import type { EventRecorder } from "../../api/client/recorder.ts";
import { WorkQueue } from "../../api/client/workqueue.ts";
import { runWorkers } from "../../api/client/workers.ts";
import type { KindInfo } from "../../api/kinds.ts";
import type { MetricsSource } from "../../api/metrics.ts";
import type { KindRegistry } from "../../api/registry.ts";
import type { KubeObject, ServiceAccount, Stored } from "../../api/types.ts";
import type { BackoffOptions } from "../../lib/backoff.ts";
import type { Clock } from "../../lib/clock.ts";
import type { CustomMetrics } from "./hpa/evaluate.ts";
import type { ControllerFigures } from "./figures.ts";
import { QUEUE_NAMES } from "./queuenames.ts";
import { controllerRefOf, indexByController, resolveController } from "./owners.ts";

/** One control loop under upstream's name, such as `deployment-controller`. */
export interface Controller {
  readonly name: string;
  /** Works until the signal aborts; resolves once everything it began has ended. */
  start(signal: AbortSignal): Promise<void>;
}

/** What controllers are made from. Making one registers its informers; nothing runs before `start`. */
export interface ControllerDeps {
  /** Shared caches of the whole cluster. */
  readonly informers: Informers;
  /** A client that acts as this controller. */
  clientFor(controller: string): Client;
  /** A recorder whose events come from this component. */
  recorderFor(component: string): EventRecorder;
  readonly clock: Clock;
  /** The kinds being served, custom ones included. */
  readonly kinds: KindRegistry;
  readonly settings: ControllerSettings;
  readonly figures: ControllerFigures;
}

/** Who made a CertificateSigningRequest, as the API server wrote it down. */
export interface Requester {
  readonly username?: string | undefined;
  readonly uid?: string | undefined;
  readonly groups?: readonly string[] | undefined;
  readonly extra?: Readonly<Record<string, readonly string[]>> | undefined;
}

/** What the cluster's owner decides. */
export interface ControllerSettings {
  /** PEM of the authority pods are to trust when they talk to the API server. */
  readonly clusterCaPem: string;
  /** Pod address ranges, one per family; nodes get theirs out of these. */
  readonly clusterCidrs: readonly string[];
  readonly nodeCidrMaskSizeIPv4?: number;
  readonly nodeCidrMaskSizeIPv6?: number;
  readonly serviceCidrs?: readonly string[];
  /** How long a node may be silent before it counts as lost; 40 s when left out. */
  readonly nodeMonitorGraceMs?: number;
  /** How many finished pods may lie around; 12,500 when left out. */
  readonly terminatedPodThreshold?: number;
  /** How long a token made for a ServiceAccount may be unused before it is marked invalid, and marked before it is deleted; a year when left out. */
  readonly legacyTokenCleanUpMs?: number;
  /** Signs client certificates for nodes; absent: no CSR is ever signed here. */
  readonly signCertificate?: SignCertificate;
  /** Whether somebody may create this subresource of CertificateSigningRequests, which is what approval depends on; absent: members of system:bootstrappers may. */
  readonly mayRequest?: (who: Requester, subresource: "nodeclient" | "selfnodeclient") => Promise<boolean>;
  /** Makes the token a service-account-token Secret holds; absent: such Secrets are not filled here. */
  readonly issueLegacyToken?: (account: Stored<ServiceAccount>, secretName: string) => string;
  /** What pods use; absent: autoscalers by resource do nothing. */
  readonly metrics?: MetricsSource;
  /** Metrics others serve; absent: autoscalers by them say that there are none. */
  readonly customMetrics?: CustomMetrics;
}

/** Signs a PEM certificate request and returns the PEM certificate. */
export type SignCertificate = (request: { readonly csrPem: string; readonly usages: readonly string[]; readonly lifetimeMs: number }) => Promise<string>;

/** What the shared loop needs of a controller. */
export interface LoopOptions {
  readonly name: string;
  readonly queue: WorkQueue;
  /** Nothing is reconciled before every informer asked for so far holds its first list. */
  readonly informers: Informers;
  /** Keys worked on at once; 5 when left out. */
  readonly workers?: number;
  readonly reconcile: (key: string) => Promise<void>;
  /** Finds the object of a key, to say on it that it cannot be reconciled. */
  readonly subject?: { readonly recorder: EventRecorder; readonly find: (key: string) => KubeObject | undefined };
  /** Anything else that runs beside the workers, once the caches are filled. */
  readonly beside?: (signal: AbortSignal) => Promise<void>;
}

/** Says of objects that cannot be reconciled that it is so, where a controller's keys are the keys of one cache. */
export function telling<T extends KubeObject>(deps: ControllerDeps, controller: string, { lister }: Informer<T>): NonNullable<LoopOptions["subject"]> {
  return { recorder: deps.recorderFor(controller), find: (key) => lister.get(key) };
}

/** A controller that reconciles the keys of one queue. */
export function controllerOf(options: LoopOptions): Controller {
  const { name, queue, informers, workers = 5, reconcile, beside, subject } = options;
  const onPoisoned = (key: string, error: unknown): void => {
    const object = subject?.find(key);
    if (object) subject?.recorder.event(object, "Warning", "ReconcileFailing", `Reconciling fails again and again: ${(error as Error).message}`);
  };
  return {
    name,
    async start(signal) {
      await informers.waitForSync(signal);
      await Promise.all([runWorkers({ name, queueName: QUEUE_NAMES[name], queue, workers, signal, reconcile, onPoisoned }), beside?.(signal)]);
    },
  };
}

/** What is a controller's own before it does anything. */
export interface KindControllerOptions {
  readonly name: string;
  /** What it reconciles. */
  readonly kind: KindInfo;
  /** Who it is to the API server, where that is not its name. */
  readonly client?: string;
  /** Who its events come from, where that is not its name. */
  readonly recorder?: string;
  /** Keys worked on at once; 5 when left out. */
  readonly workers?: number;
  readonly backoff?: BackoffOptions;
}

/** A controller of one kind: the cache of its objects, the queue of their keys, and what acts in its name. */
export abstract class KindController<T extends KubeObject> implements Controller {
  readonly name: string;
  protected readonly client: Client;
  protected readonly recorder: EventRecorder;
  protected readonly clock: Clock;
  protected readonly figures: ControllerFigures;
  protected readonly objects: Informer<T>;
  protected readonly queue: WorkQueue;
  readonly #informers: Informers;
  readonly #workers: number | undefined;

  constructor(deps: ControllerDeps, options: KindControllerOptions) {
    this.name = options.name;
    this.client = deps.clientFor(options.client ?? options.name);
    this.recorder = deps.recorderFor(options.recorder ?? options.name);
    this.clock = deps.clock;
    this.figures = deps.figures;
    this.#informers = deps.informers;
    this.#workers = options.workers;
    this.queue = new WorkQueue({ clock: deps.clock, ...(options.backoff && { backoff: options.backoff }) });
    this.objects = deps.informers.for<T>(options.kind);
    const enqueue = (object: Stored<T>): void => this.queue.add(keyOf(object));
    const enqueueOurs = (object: Stored<T>): void => (this.isOurs(object) ? enqueue(object) : undefined);
    this.objects.addHandler({ add: enqueueOurs, update: (object, old) => (this.isWorthwhile(object, old) ? enqueueOurs(object) : undefined), delete: enqueueOurs });
  }

  /** Whether there is ever anything to do about an object. */
  protected isOurs(_object: Stored<T>): boolean {
    return true;
  }

  /** Whether a change of an object is one to look at. */
  protected isWorthwhile(_object: Stored<T>, _old: Stored<T>): boolean {
    return true;
  }

  /** Brings the world of one object to what it asks for. Safe to run twice; a throw means try again later. */
  protected abstract reconcile(key: Key): Promise<void>;

  /** Anything else that runs beside the workers. */
  protected beside(_signal: AbortSignal): Promise<void> {
    return Promise.resolve();
  }

  start(signal: AbortSignal): Promise<void> {
    const { name, queue, recorder } = this;
    return controllerOf({
      name, queue, informers: this.#informers, ...(this.#workers !== undefined && { workers: this.#workers }),
      reconcile: (key) => this.reconcile(key), beside: (running) => this.beside(running),
      subject: { recorder, find: (key) => this.objects.lister.get(key) },
    }).start(signal);
  }

  /** Wakes the owner of whatever changes in another kind, the owner that lost it, and those that might adopt it. */
  protected follow<O extends KubeObject>(owned: Informer<O>, mayAdopt: (owner: Stored<T>, orphan: Stored<O>) => boolean): void {
    indexByController(owned);
    const changed = (object: Stored<O>): void => {
      const owner = resolveController(this.objects, object);
      if (owner) return this.queue.add(keyOf(owner));
      if (controllerRefOf(object)) return;
      for (const candidate of this.objects.lister.inNamespace(object.metadata.namespace ?? "")) {
        if (mayAdopt(candidate, object)) this.queue.add(keyOf(candidate));
      }
    };
    owned.addHandler({
      add: changed, delete: changed,
      update: (object, old) => {
        if (controllerRefOf(old)?.uid !== controllerRefOf(object)?.uid) changed(old);
        changed(object);
      },
    });
  }
}

/** Resolves when the signal aborts. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
