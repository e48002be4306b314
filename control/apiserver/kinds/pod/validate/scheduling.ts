// Rules for what steers the scheduler: affinity, tolerations, spreading, gates.
import { field, type FieldError } from "../../../../../api/errors.ts";
import { labelKeyErrors, labelValueErrors } from "../../../../../api/labels.ts";
import type { Affinity, LabelSelector, NodeSelector, NodeSelectorTerm, PodAffinityTerm, Toleration, TopologySpreadConstraint } from "../../../../../api/types.ts";
import { TAINT_EFFECTS } from "../../core/taints.ts";
import { checkSelector } from "../../validation/labels.ts";
import { check, dnsLabel, dnsSubdomain } from "../../validation/names.ts";
import { checkOptionalOneOf, checkPositive } from "../../validation/values.ts";

const REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution";
const ACTIONS = ["DoNotSchedule", "ScheduleAnyway"];
const INCLUSION = ["Honor", "Ignore"];
const OPERATORS = ["Equal", "Exists"];
const COMPARISONS = ["Gt", "Lt"];

/** `affinity`. */
export function checkAffinity(errors: FieldError[], path: string, { nodeAffinity, podAffinity, podAntiAffinity }: Affinity): void {
  const required = nodeAffinity?.[REQUIRED];
  if (required) checkNodeSelector(errors, `${path}.nodeAffinity.${REQUIRED}`, required);
  for (const [index, { weight, preference }] of (nodeAffinity?.[PREFERRED] ?? []).entries()) {
    const at = `${path}.nodeAffinity.${PREFERRED}[${index}]`;
    checkWeight(errors, at, weight);
    checkTerm(errors, `${at}.preference`, preference, false);
  }
  for (const [name, side] of [["podAffinity", podAffinity], ["podAntiAffinity", podAntiAffinity]] as const) {
    for (const [index, term] of (side?.[REQUIRED] ?? []).entries()) checkPodTerm(errors, `${path}.${name}.${REQUIRED}[${index}]`, term);
    for (const [index, { weight, podAffinityTerm }] of (side?.[PREFERRED] ?? []).entries()) {
      checkWeight(errors, `${path}.${name}.${PREFERRED}[${index}]`, weight);
      checkPodTerm(errors, `${path}.${name}.${PREFERRED}[${index}].podAffinityTerm`, podAffinityTerm);
    }
  }
}

function checkWeight(errors: FieldError[], path: string, weight: number): void {
  if (!(weight >= 1 && weight <= 100)) errors.push(field.invalid(`${path}.weight`, weight, "must be in the range 1-100"));
}

/** A node selector: at least one term. */
export function checkNodeSelector(errors: FieldError[], path: string, { nodeSelectorTerms }: NodeSelector): void {
  if (!nodeSelectorTerms?.length) return void errors.push(field.required(`${path}.nodeSelectorTerms`, "must have at least one node selector term"));
  for (const [index, term] of nodeSelectorTerms.entries()) checkTerm(errors, `${path}.nodeSelectorTerms[${index}]`, term, true);
}

function checkTerm(errors: FieldError[], path: string, { matchExpressions, matchFields }: NodeSelectorTerm, checksValues: boolean): void {
  for (const [index, { key, operator, values = [] }] of (matchExpressions ?? []).entries()) {
    const at = `${path}.matchExpressions[${index}]`;
    if (operator === "In" || operator === "NotIn") {
      if (values.length === 0) errors.push(field.required(`${at}.values`, "must be specified when `operator` is 'In' or 'NotIn'"));
    } else if (operator === "Exists" || operator === "DoesNotExist") {
      if (values.length > 0) errors.push(field.forbidden(`${at}.values`, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"));
    } else if (operator === "Gt" || operator === "Lt") {
      if (values.length !== 1) errors.push(field.required(`${at}.values`, "must be specified single value when `operator` is 'Lt' or 'Gt'"));
    } else errors.push(field.invalid(`${at}.operator`, operator, "not a valid selector operator"));
    checkLabelKey(errors, `${at}.key`, key);
    if (checksValues) for (const [at2, value] of values.entries()) for (const sentence of labelValueErrors(value)) errors.push(field.invalid(`${at}.values[${at2}]`, value, sentence));
  }
  for (const [index, { key, operator, values = [] }] of (matchFields ?? []).entries()) {
    const at = `${path}.matchFields[${index}]`;
    if (operator !== "In" && operator !== "NotIn") errors.push(field.invalid(`${at}.operator`, operator, "not a valid selector operator"));
    else if (values.length !== 1) errors.push(field.required(`${at}.values`, "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"));
    if (key !== "metadata.name") errors.push(field.invalid(`${at}.key`, key, "not a valid field selector key"));
    else for (const [at2, value] of values.entries()) check(errors, `${at}.values[${at2}]`, value, dnsSubdomain);
  }
}

function checkPodTerm(errors: FieldError[], path: string, term: PodAffinityTerm): void {
  const { labelSelector, namespaceSelector, namespaces, matchLabelKeys, mismatchLabelKeys, topologyKey } = term;
  checkSelector(errors, `${path}.labelSelector`, labelSelector);
  checkSelector(errors, `${path}.namespaceSelector`, namespaceSelector);
  for (const name of namespaces ?? []) check(errors, `${path}.namespace`, name, dnsLabel);
  checkLabelKeys(errors, path, { matchLabelKeys, mismatchLabelKeys, labelSelector });
  if (!topologyKey) errors.push(field.required(`${path}.topologyKey`, "can not be empty"));
  checkLabelKey(errors, `${path}.topologyKey`, topologyKey);
}

interface LabelKeys {
  readonly matchLabelKeys: readonly string[] | undefined;
  readonly mismatchLabelKeys: readonly string[] | undefined;
  readonly labelSelector: LabelSelector | undefined;
}

function checkLabelKeys(errors: FieldError[], path: string, { matchLabelKeys = [], mismatchLabelKeys = [], labelSelector }: LabelKeys): void {
  for (const [name, keys] of [["matchLabelKeys", matchLabelKeys], ["mismatchLabelKeys", mismatchLabelKeys]] as const) {
    if (keys.length === 0) continue;
    if (!labelSelector) errors.push(field.forbidden(`${path}.${name}`, "must not be specified when labelSelector is not set"));
    else for (const [index, key] of keys.entries()) checkLabelKey(errors, `${path}.${name}[${index}]`, key);
  }
  const selected = new Set(Object.keys(labelSelector?.matchLabels ?? {}));
  for (const { key } of labelSelector?.matchExpressions ?? []) {
    const index = matchLabelKeys.indexOf(key);
    if (index >= 0 && selected.has(key)) errors.push(field.invalid(`${path}[${index}]`, key, "exists in both matchLabelKeys and labelSelector"));
    selected.add(key);
  }
  for (const [index, key] of matchLabelKeys.entries()) if (mismatchLabelKeys.includes(key)) errors.push(field.invalid(`${path}.matchLabelKeys[${index}]`, key, "exists in both matchLabelKeys and mismatchLabelKeys"));
}

/** `tolerations`. */
export function checkTolerations(errors: FieldError[], path: string, tolerations: readonly Toleration[]): void {
  for (let index = 0; index < tolerations.length; index++) {
    const { key, operator = "", value = "", effect = "", tolerationSeconds } = tolerations[index] as Toleration;
    const at = `${path}[${index}]`;
    if (key) checkLabelKey(errors, `${at}.key`, key);
    else if (operator !== "Exists") errors.push(field.invalid(`${at}.operator`, operator, 'operator must be Exists when `key` is empty, which means "match all values and all keys"'));
    if (tolerationSeconds !== undefined && effect !== "NoExecute") errors.push(field.invalid(`${at}.effect`, effect, "effect must be 'NoExecute' when `tolerationSeconds` is set"));
    if (operator === "" || operator === "Equal") {
      const sentences = labelValueErrors(value);
      if (sentences.length > 0) errors.push(field.invalid(`${at}.operator`, value, sentences.join(";")));
    } else if (operator === "Exists") {
      if (value !== "") errors.push(field.invalid(`${at}.operator`, value, "value must be empty when `operator` is 'Exists'"));
    } else errors.push(field.notSupported(`${at}.operator`, operator, COMPARISONS.includes(operator) ? [...OPERATORS, "Lt", "Gt"] : OPERATORS));
    if (effect !== "" && !TAINT_EFFECTS.includes(effect)) errors.push(field.notSupported(`${at}.effect`, effect, TAINT_EFFECTS));
  }
}

/** `topologySpreadConstraints`. */
export function checkSpread(errors: FieldError[], path: string, constraints: readonly TopologySpreadConstraint[]): void {
  for (const [index, constraint] of constraints.entries()) {
    const at = `${path}[${index}]`;
    const { maxSkew, topologyKey, whenUnsatisfiable, minDomains, labelSelector } = constraint;
    checkPositive(errors, `${at}.maxSkew`, maxSkew ?? 0);
    if (!topologyKey) errors.push(field.required(`${at}.topologyKey`, "can not be empty"));
    if (!ACTIONS.includes(whenUnsatisfiable)) errors.push(field.notSupported(`${at}.whenUnsatisfiable`, whenUnsatisfiable ?? "", ACTIONS));
    const repeats = constraints.slice(index + 1).some((other) => other.topologyKey === topologyKey && other.whenUnsatisfiable === whenUnsatisfiable);
    if (repeats) errors.push(field.duplicate(`${at}.{topologyKey, whenUnsatisfiable}`, `{${topologyKey}, ${whenUnsatisfiable}}`));
    checkPositive(errors, `${at}.minDomains`, minDomains);
    if (minDomains !== undefined && whenUnsatisfiable !== "DoNotSchedule") errors.push(field.invalid(`${at}.minDomains`, minDomains, `can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ${whenUnsatisfiable}`));
    checkOptionalOneOf(errors, `${at}.nodeAffinityPolicy`, constraint.nodeAffinityPolicy, INCLUSION);
    checkOptionalOneOf(errors, `${at}.nodeTaintsPolicy`, constraint.nodeTaintsPolicy, INCLUSION);
    checkLabelKeys(errors, at, { matchLabelKeys: constraint.matchLabelKeys, mismatchLabelKeys: undefined, labelSelector });
    checkSelector(errors, `${at}.labelSelector`, labelSelector);
  }
}

function checkLabelKey(errors: FieldError[], path: string, key: string): void {
  for (const sentence of labelKeyErrors(key ?? "")) errors.push(field.invalid(path, key ?? "", sentence));
}
