// The admission plugins that ask webhooks: MutatingAdmissionWebhook and ValidatingAdmissionWebhook.
// Order, failure policies and reinvocation: k8s.io/apiserver/pkg/admission/plugin/webhook.
import { ApiError, badRequest, internalError } from "../../../../api/errors.ts";
import type { KindInfo } from "../../../../api/kinds.ts";
import { builtinKind } from "../../../../api/registry.ts";
import { jsonPatch } from "../../../../api/schema/json-patch.ts";
import type { AnyObject, LabelSelector } from "../../../../api/types.ts";
import { logger } from "../../../../lib/log.ts";
import type { AdmissionPlugin, Attributes } from "../../admission/plugin.ts";
import { cacheOf, type Engine } from "../../engine.ts";
import { cloneJson, equalJson } from "../../json.ts";
import type { WebhookClientConfig } from "../crd/schema.ts";
import type { CallWebhook } from "./client.ts";
import { isExempt, matched, type Rule } from "./match.ts";
import { answerOf, denied, reviewOf, type Answer } from "./review.ts";

const log = logger("webhooks");
const DEFAULT_TIMEOUT_SECONDS = 10;

/** One webhook of a configuration. */
export interface Webhook {
  readonly name: string;
  readonly clientConfig: WebhookClientConfig;
  readonly rules?: readonly Rule[];
  readonly failurePolicy?: string;
  readonly matchPolicy?: string;
  readonly namespaceSelector?: LabelSelector;
  readonly objectSelector?: LabelSelector;
  readonly sideEffects?: string;
  readonly timeoutSeconds?: number;
  readonly reinvocationPolicy?: string;
  readonly admissionReviewVersions?: readonly string[];
  readonly matchConditions?: readonly { readonly name: string; readonly expression: string }[];
}

export interface WebhookDeps {
  readonly engine: () => Engine;
  readonly call: CallWebhook;
  /** Whether all match conditions hold; throws where one cannot be told. */
  readonly conditionsHold?: (conditions: NonNullable<Webhook["matchConditions"]>, attributes: Attributes) => boolean;
}

const KINDS = {
  mutating: builtinKind("admissionregistration.k8s.io", "v1", "MutatingWebhookConfiguration"),
  validating: builtinKind("admissionregistration.k8s.io", "v1", "ValidatingWebhookConfiguration"),
};

/** A webhook that is to be called, and the version it wants to see. */
interface Invocation {
  readonly hook: Webhook;
  readonly as: KindInfo;
}

/** Asks every mutating webhook in turn, by configuration name. */
export function mutatingWebhooks(deps: WebhookDeps): AdmissionPlugin {
  return {
    name: "MutatingAdmissionWebhook",
    concerns: (door) => !isExempt(door),
    handles: () => hooksOf(deps, "mutating").length > 0,
    admit: (attributes) => mutate(deps, attributes),
  };
}

/** Asks every validating webhook at once; the first refusal wins. */
export function validatingWebhooks(deps: WebhookDeps): AdmissionPlugin {
  return {
    name: "ValidatingAdmissionWebhook",
    concerns: (door) => !isExempt(door),
    handles: () => hooksOf(deps, "validating").length > 0,
    validate: async (attributes) => {
      const wanted = hooksOf(deps, "validating").map((hook) => invocationOf(deps, hook, attributes)).filter((found) => found !== undefined);
      const outcomes = await Promise.allSettled(wanted.map(async (invocation) => {
        const answer = await ask(deps, attributes, { ...invocation, mutates: false });
        if (answer && !answer.allowed) throw denied(invocation.hook.name, answer.status);
      }));
      const refused = outcomes.find((outcome) => outcome.status === "rejected");
      if (refused) throw refused.reason;
    },
  };
}

function hooksOf({ engine }: WebhookDeps, type: keyof typeof KINDS): Webhook[] {
  const hooks: Webhook[] = [];
  for (const { object } of cacheOf(engine(), KINDS[type]).entries()) hooks.push(...((object["webhooks"] as Webhook[] | undefined) ?? []));
  return hooks;
}

function invocationOf({ engine, conditionsHold }: WebhookDeps, hook: Webhook, attributes: Attributes): Invocation | undefined {
  const as = matched(engine(), attributes, hook);
  if (!as) return undefined;
  const { matchConditions = [] } = hook;
  if (matchConditions.length === 0 || !conditionsHold) return { hook, as };
  try {
    return conditionsHold(matchConditions, attributes) ? { hook, as } : undefined;
  } catch (error) {
    if (hook.failurePolicy === "Ignore") return undefined;
    throw new ApiError(403, "Forbidden", (error as Error).message);
  }
}

async function mutate(deps: WebhookDeps, attributes: Attributes): Promise<void> {
  const again: Webhook[] = [];
  let changedSince = new Set<Webhook>();
  for (const hook of hooksOf(deps, "mutating")) {
    const invocation = invocationOf(deps, hook, attributes);
    if (!invocation) continue;
    const isChanged = await mutateBy(deps, attributes, invocation);
    if (isChanged) changedSince = new Set(again);
    if (hook.reinvocationPolicy === "IfNeeded") again.push(hook);
  }
  // Whoever was asked before others changed the object is asked once more.
  for (const hook of again) {
    if (!changedSince.has(hook)) continue;
    const invocation = invocationOf(deps, hook, attributes);
    if (invocation) await mutateBy(deps, attributes, invocation);
  }
}

/** Returns whether the object changed. */
async function mutateBy(deps: WebhookDeps, attributes: Attributes, invocation: Invocation): Promise<boolean> {
  const { hook } = invocation;
  const answer = await ask(deps, attributes, { ...invocation, mutates: true });
  if (!answer) return false;
  if (!answer.allowed) throw denied(hook.name, answer.status);
  if (!Array.isArray(answer.patch) || answer.patch.length === 0) return false;
  const { object, kind, subresource } = attributes;
  if (!object) throw internalError(new Error(`admission webhook ${JSON.stringify(hook.name)} attempted to modify the object, which is not supported for this operation`));
  const { codec, strategies } = deps.engine();
  const patched = jsonPatch(cloneJson(object), answer.patch) as AnyObject;
  const gvk = kind.subresources[subresource]?.gvk ?? kind;
  const next = codec.decode(gvk, patched, "Ignore").object;
  codec.applyDefaults(gvk, next);
  if (subresource === "") strategies.for(kind).applyDefaults?.(next);
  const isChanged = !equalJson(next, object);
  // Plugins change the object they were given.
  for (const key of Object.keys(object)) delete object[key];
  Object.assign(object, next);
  return isChanged;
}

/** Asks one webhook; undefined when it could not be asked and that does not matter. */
async function ask({ call }: WebhookDeps, attributes: Attributes, { hook, as, mutates }: Invocation & { mutates: boolean }): Promise<Answer | undefined> {
  if (attributes.dryRun && hook.sideEffects !== "None" && hook.sideEffects !== "NoneOnDryRun") throw badRequest(`admission webhook ${JSON.stringify(hook.name)} does not support dry run`);
  const uid = crypto.randomUUID();
  try {
    const review = reviewOf(attributes, { versions: hook.admissionReviewVersions ?? [], as, uid });
    if (!review) throw new Error("could not create admission objects: webhook does not accept known AdmissionReview versions (v1, v1beta1)");
    const reply = await labelled("failed to call webhook", call({ config: hook.clientConfig, body: review, timeoutSeconds: hook.timeoutSeconds ?? DEFAULT_TIMEOUT_SECONDS }));
    const answer = await labelled("received invalid webhook response", (async () => answerOf(reply, { uid, apiVersion: review.apiVersion as string, mutates }))());
    attributes.warnings.push(...answer.warnings.filter((text) => !attributes.warnings.includes(text)));
    for (const [key, value] of Object.entries(answer.auditAnnotations)) attributes.auditAnnotations?.set(`${hook.name}/${key}`, value);
    return answer;
  } catch (error) {
    const message = `failed calling webhook ${JSON.stringify(hook.name)}: ${(error as Error).message}`;
    if (hook.failurePolicy !== "Ignore") throw internalError(new Error(message, { cause: error }));
    log.warn({ webhook: hook.name, why: message }, "a webhook could not be called; its failure policy says to go on");
    return undefined;
  }
}

async function labelled<T>(label: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw new Error(`${label}: ${(error as Error).message}`, { cause: error });
  }
}
