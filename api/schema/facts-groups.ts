// What the client models lose about the types outside the core group: one line a type, one word a field.
// The notation is read by `facts.ts`; every word is checked against the published OpenAPI in `openapi/openapi.test.ts`.

export const GROUP_FACTS = `
meta.v1.APIGroup: preferredVersion!
meta.v1.APIResource: verbs[-]
meta.v1.Condition: observedGeneration~
meta.v1.DeleteOptions: ignoreStoreReadErrorWithClusterBreakingPotential* orphanDependents* propagationPolicy*
meta.v1.ManagedFieldsEntry: fieldsV1<FieldsV1>
meta.v1.ObjectMeta: creationTimestamp~ finalizers[]+ generation~ managedFields* ownerReferences[uid]+uid
meta.v1.OwnerReference: blockOwnerDeletion* controller*
meta.v1.Preconditions: resourceVersion* uid*
meta.v1.Status: code~
meta.v1.StatusDetails: retryAfterSeconds~
meta.v1.WatchEvent: object<RawExtension>
admissionregistration.v1.MatchResources: matchPolicy*
admissionregistration.v1.MutatingAdmissionPolicySpec: failurePolicy* matchConditions[name]+name
admissionregistration.v1.MutatingWebhook: failurePolicy* matchConditions[name]+name matchPolicy* reinvocationPolicy* sideEffects*!
admissionregistration.v1.MutatingWebhookConfiguration: webhooks[name]+name
admissionregistration.v1.NamedRuleWithOperations: scope*
admissionregistration.v1.ParamRef: parameterNotFoundAction*
admissionregistration.v1.RuleWithOperations: scope*
admissionregistration.v1.ServiceReference: path*
admissionregistration.v1.ValidatingAdmissionPolicyBindingSpec: policyName~ validationActions[]~
admissionregistration.v1.ValidatingAdmissionPolicySpec: failurePolicy* matchConditions[name]+name variables[name]+name
admissionregistration.v1.ValidatingAdmissionPolicyStatus: conditions[type] observedGeneration~
admissionregistration.v1.ValidatingWebhook: failurePolicy* matchConditions[name]+name matchPolicy* sideEffects*!
admissionregistration.v1.ValidatingWebhookConfiguration: webhooks[name]+name
admissionregistration.v1.Validation: reason*
admissionregistration.v1.WebhookClientConfig: url*
apps.v1.ControllerRevision: data<RawExtension>!
apps.v1.DaemonSetCondition: lastTransitionTime!
apps.v1.DaemonSetSpec: minReadySeconds~ selector*! updateStrategy!
apps.v1.DaemonSetStatus: conditions[type]+type numberAvailable~ numberUnavailable~ observedGeneration~ updatedNumberScheduled~
apps.v1.DeploymentCondition: lastTransitionTime! lastUpdateTime!
apps.v1.DeploymentSpec: minReadySeconds~ selector*! strategy^!
apps.v1.DeploymentStatus: availableReplicas~ conditions[type]+type observedGeneration~ readyReplicas~ replicas~ unavailableReplicas~ updatedReplicas~
apps.v1.ReplicaSetCondition: lastTransitionTime!
apps.v1.ReplicaSetSpec: minReadySeconds~ selector*! template!
apps.v1.ReplicaSetStatus: availableReplicas~ conditions[type]+type fullyLabeledReplicas~ observedGeneration~ readyReplicas~
apps.v1.StatefulSetCondition: lastTransitionTime!
apps.v1.StatefulSetOrdinals: start!
apps.v1.StatefulSetSpec: minReadySeconds~ selector*! serviceName! updateStrategy!
apps.v1.StatefulSetStatus: availableReplicas! conditions[type]+type currentReplicas~ observedGeneration~ readyReplicas~ updatedReplicas~
authentication.v1.SelfSubjectReviewStatus: userInfo!
authentication.v1.TokenRequestSpec: audiences! boundObjectRef*! expirationSeconds*!
authentication.v1.TokenRequestStatus: expirationTimestamp! token!
authentication.v1.TokenReviewSpec: token~
authentication.v1.TokenReviewStatus: user!
autoscaling.v1.ScaleSpec: replicas~=0
autoscaling.v2.HPAScalingRules: selectPolicy* tolerance<Quantity>
autoscaling.v2.HorizontalPodAutoscalerCondition: lastTransitionTime!
autoscaling.v2.HorizontalPodAutoscalerStatus: conditions[type]+type currentMetrics! currentReplicas~
autoscaling.v2.MetricTarget: averageValue<Quantity> value<Quantity>
autoscaling.v2.MetricValueStatus: averageValue<Quantity> value<Quantity>
batch.v1.CronJobSpec: suspend* timeZone*
batch.v1.JobCondition: lastProbeTime! lastTransitionTime!
batch.v1.JobSpec: completionMode* managedBy* manualSelector* podReplacementPolicy* suspend*
batch.v1.JobStatus: active~ conditions+type failed~ failedIndexes* succeeded~
batch.v1.JobTemplateSpec: spec!
batch.v1.PodFailurePolicyOnExitCodesRequirement: containerName* values[]
batch.v1.PodFailurePolicyOnPodConditionsPattern: status!
batch.v1.SuccessPolicyRule: succeededIndexes*
batch.v1.UncountedTerminatedPods: failed[] succeeded[]
certificates.v1.CertificateSigningRequestCondition: lastTransitionTime! lastUpdateTime!
certificates.v1.CertificateSigningRequestSpec: request=-
certificates.v1.CertificateSigningRequestStatus: conditions[type]
coordination.v1.LeaseSpec: holderIdentity* preferredHolder* strategy*
discovery.v1.Endpoint: addresses[] conditions! hostname* nodeName* zone*
discovery.v1.EndpointConditions: ready* serving* terminating*
discovery.v1.EndpointPort: appProtocol* name* protocol*
discovery.v1.EndpointSlice: endpoints! ports!
events.v1.Event: deprecatedCount~ deprecatedFirstTimestamp! deprecatedLastTimestamp! deprecatedSource! regarding!
flowcontrol.v1.FlowSchemaCondition: lastTransitionTime!
flowcontrol.v1.FlowSchemaSpec: matchingPrecedence!
flowcontrol.v1.FlowSchemaStatus: conditions[type]+type
flowcontrol.v1.LimitedPriorityLevelConfiguration: limitResponse! nominalConcurrencyShares*!
flowcontrol.v1.NonResourcePolicyRule: nonResourceURLs[] verbs[]
flowcontrol.v1.PriorityLevelConfigurationCondition: lastTransitionTime!
flowcontrol.v1.PriorityLevelConfigurationStatus: conditions[type]+type
flowcontrol.v1.QueuingConfiguration: handSize! queueLengthLimit! queues!
flowcontrol.v1.ResourcePolicyRule: apiGroups[] namespaces[]! resources[] verbs[]
networking.v1.HTTPIngressPath: pathType*!
networking.v1.IPAddressSpec: parentRef*
networking.v1.IngressClassParametersReference: apiGroup* namespace* scope*!
networking.v1.IngressPortStatus: error*
networking.v1.IngressServiceBackend: port!
networking.v1.IngressSpec: ingressClassName*
networking.v1.IngressStatus: loadBalancer!
networking.v1.NetworkPolicyPort: protocol*
networking.v1.NetworkPolicySpec: podSelector!
networking.v1.ParentReference: name~ resource~
networking.v1.ServiceBackendPort: number~
networking.v1.ServiceCIDRStatus: conditions[type]+type
node.v1.Overhead: podFixed<Quantity>
node.v1.Scheduling: nodeSelector{atomic}
policy.v1.PodDisruptionBudgetSpec: selector%replace unhealthyPodEvictionPolicy*
policy.v1.PodDisruptionBudgetStatus: conditions[type]+type currentHealthy! desiredHealthy! disruptionsAllowed! expectedPods! observedGeneration~
rbac.v1.ClusterRole: rules!
rbac.v1.Role: rules!
rbac.v1.RoleRef: apiGroup!
resource.v1.AllocatedDeviceStatus: conditions[type]! data<RawExtension> shareID*
resource.v1.AllocationResult: devices!
resource.v1.CapacityRequestPolicy: default<Quantity>*! validValues<Quantity>
resource.v1.CapacityRequestPolicyRange: max<Quantity> min<Quantity>* step<Quantity>
resource.v1.CapacityRequirements: requests<Quantity>
resource.v1.Counter: value<Quantity>
resource.v1.CounterSet: counters~
resource.v1.Device: allNodes* allowMultipleAllocations* bindsToNode* nodeName*
resource.v1.DeviceAttribute: bool* string* version*
resource.v1.DeviceCapacity: value<Quantity>
resource.v1.DeviceClaim: requests!
resource.v1.DeviceClassSpec: extendedResourceName*
resource.v1.DeviceConstraint: distinctAttribute* matchAttribute*
resource.v1.DeviceCounterConsumption: counters~
resource.v1.DeviceRequestAllocationResult: adminAccess* consumedCapacity<Quantity> shareID*
resource.v1.DeviceSubRequest: count~
resource.v1.DeviceToleration: operator="Equal"
resource.v1.ExactDeviceRequest: adminAccess* count~
resource.v1.NodeAllocatableResourceMapping: allocationMultiplier<Quantity> capacityKey*
resource.v1.OpaqueDeviceConfiguration: parameters<RawExtension>
resource.v1.ResourceClaimSpec: devices!
resource.v1.ResourceClaimStatus: devices[driver,device,pool,shareID] reservedFor[uid]+uid
resource.v1.ResourceSliceSpec: allNodes* nodeName* perDeviceNodeSelection*
scheduling.v1.PriorityClass: preemptionPolicy* value!
storage.v1.CSIDriverSpec: attachRequired* fsGroupPolicy* podInfoOnMount* preventPodSchedulingIfMissing* requiresRepublish* seLinuxMount* serviceAccountTokenInSecrets* storageCapacity* volumeLifecycleModes[]
storage.v1.CSINodeDriver: topologyKeys!
storage.v1.CSINodeSpec: drivers[name]+name
storage.v1.CSIStorageCapacity: capacity<Quantity> maximumVolumeSize<Quantity>
storage.v1.StorageClass: allowVolumeExpansion* reclaimPolicy* volumeBindingMode*
storage.v1.VolumeAttachmentSource: persistentVolumeName*
storage.v1.VolumeError: time!
apiextensions.v1.CustomResourceColumnDefinition: priority~
apiextensions.v1.CustomResourceDefinitionCondition: lastTransitionTime! observedGeneration~
apiextensions.v1.CustomResourceDefinitionStatus: acceptedNames! conditions[type]! observedGeneration~ storedVersions!
apiextensions.v1.CustomResourceDefinitionVersion: deprecationWarning*
apiextensions.v1.CustomResourceSubresourceScale: labelSelectorPath*
apiextensions.v1.CustomResourceSubresources: status<CustomResourceSubresourceStatus>
apiextensions.v1.JSONSchemaProps: $ref* additionalItems<JSONSchemaPropsOrBool> additionalProperties<JSONSchemaPropsOrBool> default<JSON> dependencies<JSONSchemaPropsOrStringArray> enum<JSON> example<JSON> items<JSONSchemaPropsOrArray> x-kubernetes-list-type* x-kubernetes-map-type* x-kubernetes-preserve-unknown-fields* x-kubernetes-validations[rule]+rule
apiextensions.v1.ServiceReference: path*
apiextensions.v1.ValidationRule: optionalOldSelf* reason*
apiextensions.v1.WebhookClientConfig: url*
apiregistration.v1.APIServiceCondition: lastTransitionTime!
apiregistration.v1.APIServiceSpec: caBundle[.]
apiregistration.v1.APIServiceStatus: conditions[type]+type
`;
