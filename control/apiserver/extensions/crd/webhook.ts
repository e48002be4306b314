// Asks a definition's webhook to convert custom resources between its versions.
// Rules and wording: apiextensions-apiserver/pkg/apiserver/conversion/webhook_converter.go.
import { internalError } from "../../../../api/errors.ts";
import type { AnyObject } from "../../../../api/types.ts";
import type { CallWebhook } from "../webhook/client.ts";
import type { Converter } from "./convert.ts";
import type { Crd } from "./schema.ts";

const TIMEOUT_SECONDS = 30;

interface ConversionResponse {
  readonly uid?: string;
  readonly convertedObjects?: readonly AnyObject[];
  readonly result?: { readonly status?: string; readonly message?: string };
}

/** How definitions that name a webhook have it asked; undefined for those that name none. */
export function webhookConverters(call: CallWebhook): (crd: Crd) => Converter | undefined {
  return ({ spec: { conversion } }) => {
    const { clientConfig: config, conversionReviewVersions = [] } = conversion?.webhook ?? {};
    if (conversion?.strategy !== "Webhook" || !config) return undefined;
    const version = conversionReviewVersions.find((one) => one === "v1" || one === "v1beta1") ?? "v1";
    return async (objects, apiVersion) => {
      const uid = crypto.randomUUID();
      const body = { kind: "ConversionReview", apiVersion: `apiextensions.k8s.io/${version}`, request: { uid, desiredAPIVersion: apiVersion, objects } };
      try {
        const reply = (await call({ config, body, timeoutSeconds: TIMEOUT_SECONDS })) as { response?: ConversionResponse };
        return convertedOf(reply.response, { uid: version === "v1" ? uid : undefined, objects, apiVersion });
      } catch (error) {
        const [first] = objects;
        throw internalError(new Error(`conversion webhook for ${first?.apiVersion}, Kind=${first?.kind} failed: ${(error as Error).message}`, { cause: error }));
      }
    };
  };
}

function convertedOf(response: ConversionResponse | undefined, { uid, objects, apiVersion }: { uid: string | undefined; objects: readonly AnyObject[]; apiVersion: string }): AnyObject[] {
  if (!response) throw new Error("no response provided");
  if (uid !== undefined && response.uid !== uid) throw new Error(`expected response.uid=${JSON.stringify(uid)}, got ${JSON.stringify(response.uid ?? "")}`);
  if (response.result?.status !== "Success") throw new Error(response.result?.message || "response.result.status was not 'Success'");
  const converted = response.convertedObjects ?? [];
  if (converted.length !== objects.length) throw new Error(`webhook returned ${converted.length} objects, expected ${objects.length}`);
  return converted.map((object, index) => checked(object, { original: objects[index] as AnyObject, apiVersion, index }));
}

/** The fields of a converted object, and of the metadata only what a webhook may change. */
function checked(object: AnyObject, { original, apiVersion, index }: { original: AnyObject; apiVersion: string; index: number }): AnyObject {
  if (object.apiVersion !== apiVersion) throw new Error(`webhook returned invalid converted object at index ${index}: invalid groupVersion (expected ${apiVersion}, received ${object.apiVersion})`);
  if (object.kind !== original.kind) throw new Error(`webhook returned invalid converted object at index ${index}: invalid kind (expected ${original.kind}, received ${object.kind})`);
  for (const name of ["name", "namespace", "uid"] as const) {
    if (object.metadata?.[name] !== original.metadata[name]) throw new Error(`webhook returned invalid converted object at index ${index}: must have the same ${name}: ${object.metadata?.[name] ?? ""} != ${original.metadata[name] ?? ""}`);
  }
  const { labels, annotations } = object.metadata;
  const { labels: _labels, annotations: _annotations, ...kept } = original.metadata;
  return { ...object, metadata: { ...kept, ...(labels && { labels }), ...(annotations && { annotations }) } };
}
