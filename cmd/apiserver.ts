// The API server with everything it is made of here: schema, kinds, admission, authentication, authorization, bootstrap objects.
import { SchemaCodec } from "../api/schema/codec.ts";
import { SchemaEngine } from "../api/schema/engine.ts";
import { KindRegistry } from "../api/registry.ts";
import { BackgroundEventRecorder } from "../api/client/recorder.ts";
import { createInformers } from "../api/client/informers.ts";
import type { Informers } from "../api/client/informer.ts";
import { createApiServer, type ApiServer } from "../control/apiserver/server.ts";
import { NodeConnector, type NodeCredentials } from "../control/apiserver/connect/connector.ts";
import { metricsConnector } from "../control/apiserver/metrics/connector.ts";
import { NodeFigures } from "../control/apiserver/metrics/source.ts";
import { NODE_METRICS, POD_METRICS, type MetricsSource } from "../api/metrics.ts";
import type { DocumentSource, OwnPaths } from "../control/apiserver/http/documents.ts";
import { ProtobufDecoder } from "../api/protobuf/decode.ts";
import { createAdmission } from "../control/apiserver/admission/index.ts";
import { CustomResources } from "../control/apiserver/extensions/crd/definitions.ts";
import { Aggregator } from "../control/apiserver/extensions/aggregation/aggregator.ts";
import { publishAuthentication } from "../control/apiserver/extensions/aggregation/authentication.ts";
import type { FrontProxy } from "../control/apiserver/extensions/aggregation/remote.ts";
import { matchConditionsOf, mutatingPolicies, validatingPolicies } from "../control/apiserver/extensions/policy/plugins.ts";
import { PolicyStatus } from "../control/apiserver/extensions/policy/status.ts";
import { registrationStrategy } from "../control/apiserver/extensions/registration.ts";
import { webhookCaller } from "../control/apiserver/extensions/webhook/client.ts";
import { mutatingWebhooks, validatingWebhooks } from "../control/apiserver/extensions/webhook/plugin.ts";
import { webhookConverters } from "../control/apiserver/extensions/crd/webhook.ts";
import { createStrategies } from "../control/apiserver/kinds/index.ts";
import { NODE_PORT_RANGE, NodePorts } from "../control/apiserver/kinds/service/node-ports.ts";
import { startAddressRepair, type RepairLoopOptions } from "../control/apiserver/kinds/service/repair.ts";
import { RepairFigures } from "../control/apiserver/kinds/service/repairfigures.ts";
import { watchLosses } from "../control/apiserver/kinds/service/losses.ts";
import type { UserInfo } from "../control/apiserver/request.ts";
import type { Authorizer } from "../control/apiserver/auth/auth.ts";
import { createAuth, type Auth } from "../control/apiserver/auth/create.ts";
import { publishTracking } from "../control/apiserver/auth/legacytokens.ts";
import { ensureRbac } from "../control/apiserver/auth/policy/ensure.ts";
import type { Client } from "../api/client/client.ts";
import type { ServiceAccount, Stored } from "../api/types.ts";
import { ensureDnsService } from "../net/dns/service.ts";
import { ensureBootstrap } from "../control/apiserver/bootstrap.ts";
import { publishClusterInfo } from "./clusterinfo.ts";
import { apiServiceIp, clusterConfigOf, publishClusterConfig } from "./clusterconfig.ts";
import { publishPolicyAccess } from "./networkpolicy.ts";
import type { Pki } from "../control/pki/pki.ts";
import type { Store } from "../control/store/store.ts";
import { tokenOptions } from "./tokens.ts";
import { systemClock } from "../lib/clock.ts";
import { isShared } from "./datastore.ts";
import type { Values } from "./flags.ts";
import type { StartHooks } from "../control/apiserver/http/starthooks.ts";
import { AGGREGATOR_HOOKS, CRD_HOOKS, hook, hooked, LIMIT_HOOKS, startHooks } from "./starthooks.ts";
import { requestOptions, type RequestOptions } from "./requests.ts";

/** A running API server with what others in the process share. */
export interface Api {
  readonly server: ApiServer;
  readonly informers: Informers;
  readonly kinds: KindRegistry;
  /** Numbers of other parts of this process, for `/metrics`. */
  readonly figures: Set<() => string>;
  readonly authorizer: Authorizer;
  /** The token a service-account-token Secret holds. */
  readonly issueLegacyToken: (account: Stored<ServiceAccount>, secretName: string) => string;
  /** What nodes and pods use, measured when asked. */
  readonly metrics: MetricsSource;
  /** What is served by others behind this API server. */
  readonly aggregator: Pick<Aggregator, "availableVersion" | "read">;
  /** Makes what every cluster contains, where it is missing. */
  bootstrap(): Promise<void>;
}

export interface ControlPlane extends Api {
  readonly pki: Pki;
  stop(): Promise<void>;
}

export interface ApiOptions {
  readonly values: Values;
  readonly store: Store;
  readonly pki: Pki;
  readonly signal: AbortSignal;
  /** The address clients are told. */
  readonly advertise: string;
  /** Paths of this implementation's own. */
  readonly own?: OwnPaths;
}

/** A part of the control plane as a user of its own API. */
export function controlUser(name: string): UserInfo {
  return { name, groups: ["system:authenticated"] };
}

/** Puts the API server together; nothing runs until `server.start()`. */
export function buildApiServer({ values, store, pki, signal, advertise, own }: ApiOptions): Api {
  const clock = systemClock;
  const kinds = new KindRegistry();
  const schema = new SchemaEngine();
  const codec = new SchemaCodec(schema);
  // Authentication and authorization read the caches of the very server they guard.
  const parts: { server?: ApiServer } = {};
  const callWebhook = webhookCaller(() => (parts.server as ApiServer).engine);
  const customResources = new CustomResources({ kinds, schema, converterOf: webhookConverters(callWebhook) });
  const issuer = `https://kubernetes.default.svc.${values["cluster-domain"]}`;
  const serviceCidrs = (values["service-cidr"] as string).split(",");
  const serving = pki.leaf("apiserver");
  const informers = createInformers(deferred(() => (parts.server as ApiServer).localClient()), clock);
  const auth = createAuth({
    informers, clock, clientAuthorities: [pki.roots.authority.certPem], serviceAccountKeyPem: pki.roots.serviceAccountKeyPem,
    issuer, ...tokenOptions(values, [issuer]),
  });
  const figures = new Set([() => auth.authenticator.figures()]);
  const aggregator = new Aggregator({ kinds, frontProxy: () => frontProxyOf(pki) });
  const engine = (): ApiServer["engine"] => (parts.server as ApiServer).engine;
  const connector = new NodeConnector(engine, () => nodeCredentials(pki));
  const metrics = new NodeFigures({ engine, clock, page: (nodeName, path) => connector.page(nodeName, path) });
  for (const kind of [NODE_METRICS, POD_METRICS]) kinds.add(kind);
  const requests = requestOptions(values, figures);
  const isFair = requests.extensions.length > 0;
  const hooks = startHooks({ isFair, requireRegistered: () => aggregator.requireRegistered() });
  if (!isFair) void hooks.run(undefined, hook("max-in-flight-filter"));
  const repair = serviceRepair({ values, engine, figures, signal });
  const policies = { engine, authorizer: auth.authorizer };
  const webhooks = { engine, call: callWebhook, conditionsHold: matchConditionsOf(policies) };
  const server = createApiServer({
    store, kinds, clock,
    codec, protobuf: new ProtobufDecoder(),
    strategies: createStrategies({ serviceCidrs, nodePorts: repair.nodePorts, custom: (kind) => registrationStrategy(kind) ?? customResources.strategyFor(kind) }),
    extensions: [hooked(hooks, customResources, CRD_HOOKS), hooked(hooks, aggregator, AGGREGATOR_HOOKS), new PolicyStatus(schema), ...requests.extensions.map((one) => hooked(hooks, one, LIMIT_HOOKS))],
    admission: createAdmission({ authorizer: auth.authorizer, beforeQuota: [...auth.admission, mutatingPolicies(policies), mutatingWebhooks(webhooks), validatingPolicies(policies), validatingWebhooks(webhooks)] }),
    postHandlers: auth.postHandlers,
    http: {
      host: values["bind-address"] as string,
      port: Number(values["port"]),
      advertise: `${advertise}:${values["port"]}`,
      certificate: { cert: serving.certPem + pki.roots.authority.certPem, key: serving.keyPem }, clientAuthorities: [pki.roots.authority.certPem],
      authenticators: [auth.authenticator],
      authorizer: auth.authorizer,
      openapi: codec.openapi(kinds),
      openid: openIdDocuments(issuer, auth.keys),
      own,
      checks: hooks.checks,
      metrics: () => [...figures].map((text) => text()),
      aggregator,
      ...requests.http,
      connect: metricsConnector(metrics, connector),
    },
  });
  parts.server = server;
  return {
    server, informers, kinds, metrics, figures, aggregator, authorizer: auth.authorizer, issueLegacyToken: (account, secretName) => auth.tokens.issueLegacy(account, secretName),
    bootstrap: () => bootstrapAll({ values, client: server.localClient(), pki, signal, advertise, hooks, informers, requests, repair }),
  };
}

type ServiceRepair = Pick<RepairLoopOptions, "nodePorts" | "figures" | "onLoss">;

/** The node ports services take from, and what is needed to repair them and their addresses. */
function serviceRepair({ values, engine, figures, signal }: Pick<ApiOptions, "values" | "signal"> & Pick<Api, "figures"> & { engine: () => ApiServer["engine"] }): ServiceRepair {
  const nodePorts = new NodePorts(NODE_PORT_RANGE, isShared(values));
  const repairFigures = new RepairFigures(nodePorts, engine);
  figures.add(() => repairFigures.text());
  return { nodePorts, figures: repairFigures, onLoss: (lost) => watchLosses(engine(), lost, signal) };
}

type BootstrapDeps = Pick<ApiOptions, "values" | "pki" | "signal" | "advertise"> & { readonly client: Client; readonly hooks: StartHooks; readonly repair: ServiceRepair };

async function bootstrapAll({ informers, requests, ...deps }: BootstrapDeps & { readonly informers: Informers; readonly requests: RequestOptions }): Promise<void> {
  const { hooks, client, signal } = deps;
  informers.start(signal);
  await hooks.run(undefined, hook("generic-apiserver-start-informers"));
  void hooks.run(informers.waitForSync(), "informer-sync");
  await bootstrapObjects(deps);
  await hooks.run(requests.keep({ client, clock: systemClock, signal }), hook("priority-and-fairness-config-producer"));
}

/** Makes what every cluster contains, where it is missing. */
async function bootstrapObjects({ values, client, pki, signal, advertise, hooks, repair }: BootstrapDeps): Promise<void> {
  const repairing = startAddressRepair({ ...repair, client, clock: systemClock, signal, isAlone: !isShared(values), recorderFor: (component) => new BackgroundEventRecorder({ client, component, clock: systemClock }) });
  await hooks.run(repairing, hook("start-service-ip-repair-controllers"));
  const cluster = clusterConfigOf(values);
  const serviceCidrs = (values["service-cidr"] as string).split(",");
  await ensureBootstrap(client, { advertiseAddress: advertise, port: Number(values["port"]), apiServiceIp: apiServiceIp(cluster), serviceCidrs, isOneOfSeveral: isShared(values) }, hooks);
  const authentication = publishAuthentication(client, { clientCa: pki.roots.authority.certPem, frontProxyCa: pki.roots.frontProxyAuthority.certPem });
  await Promise.all([
    hooks.run(ensureRbac(client), hook("rbac/bootstrap-roles")), hooks.run(publishTracking(client, systemClock), hook("start-legacy-token-tracking-controller")), hooks.run(authentication, hook("start-cluster-authentication-info-controller")),
    publishClusterInfo(client, { server: `https://${advertise}:${values["port"]}`, authorityPem: pki.roots.authority.certPem, isOneOfSeveral: isShared(values) }),
    publishClusterConfig(client, cluster), publishPolicyAccess(client), ensureDnsService(client, cluster.dnsIp),
  ]);
}

/** How this API server shows itself to nodes, and whose word it takes that they are nodes. */
function nodeCredentials(pki: Pki): NodeCredentials {
  const { certPem, keyPem } = pki.leaf("kubelet-client");
  return { cert: certPem, key: keyPem, ca: pki.roots.authority.certPem };
}

/** How this API server shows itself to API servers behind it. */
function frontProxyOf(pki: Pki): FrontProxy {
  const { certPem, keyPem } = pki.leaf("front-proxy-client");
  return { cert: certPem, key: keyPem };
}

/** Upstream's: keys live long, and relying parties ask often. */
const OPENID_CACHE = "public, max-age=3600";

/** What relying parties of service-account tokens read. */
function openIdDocuments(issuer: string, keys: Auth["keys"]): DocumentSource {
  const discovery = { issuer, jwks_uri: `${issuer}/openid/v1/jwks`, response_types_supported: ["id_token"], subject_types_supported: ["public"], id_token_signing_alg_values_supported: [...new Set(keys.jwks().keys.map((key) => key["alg"]))] };
  return (path) => {
    if (path === "/.well-known/openid-configuration") return { body: JSON.stringify(discovery), contentType: "application/json", cacheControl: OPENID_CACHE };
    if (path === "/openid/v1/jwks") return { body: JSON.stringify(keys.jwks()), contentType: "application/jwk-set+json", cacheControl: OPENID_CACHE };
    return undefined;
  };
}

/** A client that is looked up on each use, for parts that are made before it exists. */
function deferred(find: () => Client): Client {
  return new Proxy({} as Client, {
    get: (_target, property) => {
      const client = find();
      const value = Reflect.get(client, property) as unknown;
      return typeof value === "function" ? value.bind(client) : value;
    },
  });
}
