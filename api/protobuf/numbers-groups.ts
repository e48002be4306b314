// Field numbers of the types of the named groups in the protobuf form of the API: one line a type, fields in the order of their numbers.
// A number is one more than the one before unless it is given; parentheses hold the fields of a message that JSON shows inline.

export const GROUP_NUMBERS = `
admissionregistration.v1.ApplyConfiguration: expression
admissionregistration.v1.AuditAnnotation: key valueExpression
admissionregistration.v1.ExpressionWarning: fieldRef=2 warning
admissionregistration.v1.JSONPatch: expression
admissionregistration.v1.MatchCondition: name expression
admissionregistration.v1.MatchResources: namespaceSelector objectSelector resourceRules excludeResourceRules matchPolicy=7
admissionregistration.v1.MutatingAdmissionPolicy: metadata spec
admissionregistration.v1.MutatingAdmissionPolicyBinding: metadata spec
admissionregistration.v1.MutatingAdmissionPolicyBindingSpec: policyName paramRef matchResources
admissionregistration.v1.MutatingAdmissionPolicySpec: paramKind matchConstraints variables mutations failurePolicy matchConditions reinvocationPolicy
admissionregistration.v1.MutatingWebhook: name clientConfig rules failurePolicy namespaceSelector sideEffects timeoutSeconds admissionReviewVersions matchPolicy reinvocationPolicy objectSelector matchConditions
admissionregistration.v1.MutatingWebhookConfiguration: metadata webhooks
admissionregistration.v1.Mutation: patchType=2 applyConfiguration jsonPatch
admissionregistration.v1.NamedRuleWithOperations: resourceNames (operations (apiGroups apiVersions resources scope))
admissionregistration.v1.ParamKind: apiVersion kind
admissionregistration.v1.ParamRef: name namespace selector parameterNotFoundAction
admissionregistration.v1.RuleWithOperations: operations (apiGroups apiVersions resources scope)
admissionregistration.v1.ServiceReference: namespace name path port
admissionregistration.v1.TypeChecking: expressionWarnings
admissionregistration.v1.ValidatingAdmissionPolicy: metadata spec status
admissionregistration.v1.ValidatingAdmissionPolicyBinding: metadata spec
admissionregistration.v1.ValidatingAdmissionPolicyBindingSpec: policyName paramRef matchResources validationActions
admissionregistration.v1.ValidatingAdmissionPolicySpec: paramKind matchConstraints validations failurePolicy auditAnnotations matchConditions variables
admissionregistration.v1.ValidatingAdmissionPolicyStatus: observedGeneration typeChecking conditions
admissionregistration.v1.ValidatingWebhook: name clientConfig rules failurePolicy namespaceSelector sideEffects timeoutSeconds admissionReviewVersions matchPolicy objectSelector matchConditions
admissionregistration.v1.ValidatingWebhookConfiguration: metadata webhooks
admissionregistration.v1.Validation: expression message reason messageExpression
admissionregistration.v1.Variable: name expression
admissionregistration.v1.WebhookClientConfig: service caBundle url
apps.v1.ControllerRevision: metadata data revision
apps.v1.DaemonSet: metadata spec status
apps.v1.DaemonSetCondition: type status lastTransitionTime reason message
apps.v1.DaemonSetSpec: selector template updateStrategy minReadySeconds revisionHistoryLimit=6
apps.v1.DaemonSetStatus: currentNumberScheduled numberMisscheduled desiredNumberScheduled numberReady observedGeneration updatedNumberScheduled numberAvailable numberUnavailable collisionCount conditions
apps.v1.DaemonSetUpdateStrategy: type rollingUpdate
apps.v1.Deployment: metadata spec status
apps.v1.DeploymentCondition: type status reason=4 message lastUpdateTime lastTransitionTime
apps.v1.DeploymentSpec: replicas selector template strategy minReadySeconds revisionHistoryLimit paused progressDeadlineSeconds=9
apps.v1.DeploymentStatus: observedGeneration replicas updatedReplicas availableReplicas unavailableReplicas conditions readyReplicas collisionCount terminatingReplicas
apps.v1.DeploymentStrategy: type rollingUpdate
apps.v1.ReplicaSet: metadata spec status
apps.v1.ReplicaSetCondition: type status lastTransitionTime reason message
apps.v1.ReplicaSetSpec: replicas selector template minReadySeconds
apps.v1.ReplicaSetStatus: replicas fullyLabeledReplicas observedGeneration readyReplicas availableReplicas conditions terminatingReplicas
apps.v1.RollingUpdateDaemonSet: maxUnavailable maxSurge
apps.v1.RollingUpdateDeployment: maxUnavailable maxSurge
apps.v1.RollingUpdateStatefulSetStrategy: partition maxUnavailable
apps.v1.StatefulSet: metadata spec status
apps.v1.StatefulSetCondition: type status lastTransitionTime reason message
apps.v1.StatefulSetOrdinals: start
apps.v1.StatefulSetPersistentVolumeClaimRetentionPolicy: whenDeleted whenScaled
apps.v1.StatefulSetSpec: replicas selector template volumeClaimTemplates serviceName podManagementPolicy updateStrategy revisionHistoryLimit minReadySeconds persistentVolumeClaimRetentionPolicy ordinals
apps.v1.StatefulSetStatus: observedGeneration replicas readyReplicas currentReplicas updatedReplicas currentRevision updateRevision collisionCount=9 conditions availableReplicas
apps.v1.StatefulSetUpdateStrategy: type rollingUpdate
authentication.v1.BoundObjectReference: kind apiVersion name uid
authentication.v1.SelfSubjectReview: metadata status
authentication.v1.SelfSubjectReviewStatus: userInfo
authentication.v1.TokenRequest: metadata spec status
authentication.v1.TokenRequestSpec: audiences boundObjectRef=3 expirationSeconds
authentication.v1.TokenRequestStatus: token expirationTimestamp
authentication.v1.TokenReview: metadata spec status
authentication.v1.TokenReviewSpec: token audiences
authentication.v1.TokenReviewStatus: authenticated user error audiences
authentication.v1.UserInfo: username uid groups extra
authorization.v1.FieldSelectorAttributes: rawSelector requirements
authorization.v1.LabelSelectorAttributes: rawSelector requirements
authorization.v1.LocalSubjectAccessReview: metadata spec status
authorization.v1.NonResourceAttributes: path verb
authorization.v1.NonResourceRule: verbs nonResourceURLs
authorization.v1.ResourceAttributes: namespace verb group version resource subresource name fieldSelector labelSelector
authorization.v1.ResourceRule: verbs apiGroups resources resourceNames
authorization.v1.SelfSubjectAccessReview: metadata spec status
authorization.v1.SelfSubjectAccessReviewSpec: resourceAttributes nonResourceAttributes
authorization.v1.SelfSubjectRulesReview: metadata spec status
authorization.v1.SelfSubjectRulesReviewSpec: namespace
authorization.v1.SubjectAccessReview: metadata spec status
authorization.v1.SubjectAccessReviewSpec: resourceAttributes nonResourceAttributes user groups extra uid
authorization.v1.SubjectAccessReviewStatus: allowed reason evaluationError denied
authorization.v1.SubjectRulesReviewStatus: resourceRules nonResourceRules incomplete evaluationError
autoscaling.v1.CrossVersionObjectReference: kind name apiVersion
autoscaling.v1.HorizontalPodAutoscaler: metadata spec status
autoscaling.v1.HorizontalPodAutoscalerSpec: scaleTargetRef minReplicas maxReplicas targetCPUUtilizationPercentage
autoscaling.v1.HorizontalPodAutoscalerStatus: observedGeneration lastScaleTime currentReplicas desiredReplicas currentCPUUtilizationPercentage
autoscaling.v1.Scale: metadata spec status
autoscaling.v1.ScaleSpec: replicas
autoscaling.v1.ScaleStatus: replicas selector
autoscaling.v2.ContainerResourceMetricSource: name target container
autoscaling.v2.ContainerResourceMetricStatus: name current container
autoscaling.v2.CrossVersionObjectReference: kind name apiVersion
autoscaling.v2.ExternalMetricSource: metric target
autoscaling.v2.ExternalMetricStatus: metric current
autoscaling.v2.HPAScalingPolicy: type value periodSeconds
autoscaling.v2.HPAScalingRules: selectPolicy policies stabilizationWindowSeconds tolerance
autoscaling.v2.HorizontalPodAutoscaler: metadata spec status
autoscaling.v2.HorizontalPodAutoscalerBehavior: scaleUp scaleDown
autoscaling.v2.HorizontalPodAutoscalerCondition: type status lastTransitionTime reason message
autoscaling.v2.HorizontalPodAutoscalerSpec: scaleTargetRef minReplicas maxReplicas metrics behavior
autoscaling.v2.HorizontalPodAutoscalerStatus: observedGeneration lastScaleTime currentReplicas desiredReplicas currentMetrics conditions
autoscaling.v2.MetricIdentifier: name selector
autoscaling.v2.MetricSpec: type object pods resource external containerResource=7
autoscaling.v2.MetricStatus: type object pods resource external containerResource=7
autoscaling.v2.MetricTarget: type value averageValue averageUtilization
autoscaling.v2.MetricValueStatus: value averageValue averageUtilization
autoscaling.v2.ObjectMetricSource: describedObject target metric
autoscaling.v2.ObjectMetricStatus: metric current describedObject
autoscaling.v2.PodsMetricSource: metric target
autoscaling.v2.PodsMetricStatus: metric current
autoscaling.v2.ResourceMetricSource: name target
autoscaling.v2.ResourceMetricStatus: name current
batch.v1.CronJob: metadata spec status
batch.v1.CronJobSpec: schedule startingDeadlineSeconds concurrencyPolicy suspend jobTemplate successfulJobsHistoryLimit failedJobsHistoryLimit timeZone
batch.v1.CronJobStatus: active lastScheduleTime=4 lastSuccessfulTime
batch.v1.Job: metadata spec status
batch.v1.JobCondition: type status lastProbeTime lastTransitionTime reason message
batch.v1.JobSpec: parallelism completions activeDeadlineSeconds selector manualSelector template backoffLimit ttlSecondsAfterFinished completionMode suspend podFailurePolicy backoffLimitPerIndex maxFailedIndexes podReplacementPolicy managedBy successPolicy
batch.v1.JobStatus: conditions startTime completionTime active succeeded failed completedIndexes uncountedTerminatedPods ready failedIndexes terminating
batch.v1.JobTemplateSpec: metadata spec
batch.v1.PodFailurePolicy: rules
batch.v1.PodFailurePolicyOnExitCodesRequirement: containerName operator values
batch.v1.PodFailurePolicyOnPodConditionsPattern: type status
batch.v1.PodFailurePolicyRule: action onExitCodes onPodConditions
batch.v1.SuccessPolicy: rules
batch.v1.SuccessPolicyRule: succeededIndexes succeededCount
batch.v1.UncountedTerminatedPods: succeeded failed
certificates.v1.CertificateSigningRequest: metadata spec status
certificates.v1.CertificateSigningRequestCondition: type reason message lastUpdateTime lastTransitionTime status
certificates.v1.CertificateSigningRequestSpec: request username uid groups usages extra signerName expirationSeconds
certificates.v1.CertificateSigningRequestStatus: conditions certificate
coordination.v1.Lease: metadata spec
coordination.v1.LeaseSpec: holderIdentity leaseDurationSeconds acquireTime renewTime leaseTransitions strategy preferredHolder
discovery.v1.Endpoint: addresses conditions hostname targetRef deprecatedTopology nodeName zone hints
discovery.v1.EndpointConditions: ready serving terminating
discovery.v1.EndpointHints: forZones forNodes
discovery.v1.EndpointPort: name protocol port appProtocol
discovery.v1.EndpointSlice: metadata endpoints ports addressType
discovery.v1.ForNode: name
discovery.v1.ForZone: name
events.v1.Event: metadata eventTime series reportingController reportingInstance action reason regarding related note type deprecatedSource deprecatedFirstTimestamp deprecatedLastTimestamp deprecatedCount
events.v1.EventSeries: count lastObservedTime
flowcontrol.v1.ExemptPriorityLevelConfiguration: nominalConcurrencyShares lendablePercent
flowcontrol.v1.FlowDistinguisherMethod: type
flowcontrol.v1.FlowSchema: metadata spec status
flowcontrol.v1.FlowSchemaCondition: type status lastTransitionTime reason message
flowcontrol.v1.FlowSchemaSpec: priorityLevelConfiguration matchingPrecedence distinguisherMethod rules
flowcontrol.v1.FlowSchemaStatus: conditions
flowcontrol.v1.GroupSubject: name
flowcontrol.v1.LimitResponse: type queuing
flowcontrol.v1.LimitedPriorityLevelConfiguration: nominalConcurrencyShares limitResponse lendablePercent borrowingLimitPercent
flowcontrol.v1.NonResourcePolicyRule: verbs nonResourceURLs=6
flowcontrol.v1.PolicyRulesWithSubjects: subjects resourceRules nonResourceRules
flowcontrol.v1.PriorityLevelConfiguration: metadata spec status
flowcontrol.v1.PriorityLevelConfigurationCondition: type status lastTransitionTime reason message
flowcontrol.v1.PriorityLevelConfigurationReference: name
flowcontrol.v1.PriorityLevelConfigurationSpec: type limited exempt
flowcontrol.v1.PriorityLevelConfigurationStatus: conditions
flowcontrol.v1.QueuingConfiguration: queues handSize queueLengthLimit
flowcontrol.v1.ResourcePolicyRule: verbs apiGroups resources clusterScope namespaces
flowcontrol.v1.ServiceAccountSubject: namespace name
flowcontrol.v1.Subject: kind user group serviceAccount
flowcontrol.v1.UserSubject: name
networking.v1.HTTPIngressPath: path backend pathType
networking.v1.HTTPIngressRuleValue: paths
networking.v1.IPAddress: metadata spec
networking.v1.IPAddressSpec: parentRef
networking.v1.IPBlock: cidr except
networking.v1.Ingress: metadata spec status
networking.v1.IngressBackend: resource=3 service
networking.v1.IngressClass: metadata spec
networking.v1.IngressClassParametersReference: apiGroup kind name scope namespace
networking.v1.IngressClassSpec: controller parameters
networking.v1.IngressLoadBalancerIngress: ip hostname ports=4
networking.v1.IngressLoadBalancerStatus: ingress
networking.v1.IngressPortStatus: port protocol error
networking.v1.IngressRule: host (http)
networking.v1.IngressServiceBackend: name port
networking.v1.IngressSpec: defaultBackend tls rules ingressClassName
networking.v1.IngressStatus: loadBalancer
networking.v1.IngressTLS: hosts secretName
networking.v1.NetworkPolicy: metadata spec
networking.v1.NetworkPolicyEgressRule: ports to
networking.v1.NetworkPolicyIngressRule: ports from
networking.v1.NetworkPolicyPeer: podSelector namespaceSelector ipBlock
networking.v1.NetworkPolicyPort: protocol port endPort
networking.v1.NetworkPolicySpec: podSelector ingress egress policyTypes
networking.v1.ParentReference: group resource namespace name
networking.v1.ServiceBackendPort: name number
networking.v1.ServiceCIDR: metadata spec status
networking.v1.ServiceCIDRSpec: cidrs
networking.v1.ServiceCIDRStatus: conditions
node.v1.Overhead: podFixed
node.v1.RuntimeClass: metadata handler overhead scheduling
node.v1.Scheduling: nodeSelector tolerations
policy.v1.Eviction: metadata deleteOptions
policy.v1.PodDisruptionBudget: metadata spec status
policy.v1.PodDisruptionBudgetSpec: minAvailable selector maxUnavailable unhealthyPodEvictionPolicy
policy.v1.PodDisruptionBudgetStatus: observedGeneration disruptedPods disruptionsAllowed currentHealthy desiredHealthy expectedPods conditions
rbac.v1.AggregationRule: clusterRoleSelectors
rbac.v1.ClusterRole: metadata rules aggregationRule
rbac.v1.ClusterRoleBinding: metadata subjects roleRef
rbac.v1.PolicyRule: verbs apiGroups resources resourceNames nonResourceURLs
rbac.v1.Role: metadata rules
rbac.v1.RoleBinding: metadata subjects roleRef
rbac.v1.RoleRef: apiGroup kind name
rbac.v1.Subject: kind apiGroup name namespace
resource.v1.AllocatedDeviceStatus: driver pool device conditions data networkData shareID
resource.v1.AllocationResult: devices nodeSelector=3 allocationTimestamp=5
resource.v1.CELDeviceSelector: expression
resource.v1.CapacityRequestPolicy: default validValues=3 validRange
resource.v1.CapacityRequestPolicyRange: min max step
resource.v1.CapacityRequirements: requests
resource.v1.Counter: value
resource.v1.CounterSet: name counters
resource.v1.Device: name attributes capacity consumesCounters nodeName nodeSelector allNodes taints bindsToNode bindingConditions bindingFailureConditions allowMultipleAllocations nodeAllocatableResourceMappings
resource.v1.DeviceAllocationConfiguration: source requests (opaque)
resource.v1.DeviceAllocationResult: results config
resource.v1.DeviceAttribute: int=2 bool string version ints bools strings versions
resource.v1.DeviceCapacity: value requestPolicy
resource.v1.DeviceClaim: requests constraints config
resource.v1.DeviceClaimConfiguration: requests (opaque)
resource.v1.DeviceClass: metadata spec
resource.v1.DeviceClassConfiguration: (opaque)
resource.v1.DeviceClassSpec: selectors config extendedResourceName=4
resource.v1.DeviceConstraint: requests matchAttribute distinctAttribute
resource.v1.DeviceCounterConsumption: counterSet counters
resource.v1.DeviceRequest: name exactly firstAvailable
resource.v1.DeviceRequestAllocationResult: request driver pool device adminAccess tolerations bindingConditions bindingFailureConditions shareID consumedCapacity
resource.v1.DeviceSelector: cel
resource.v1.DeviceSubRequest: name deviceClassName selectors allocationMode count tolerations capacity
resource.v1.DeviceTaint: key value effect timeAdded
resource.v1.DeviceToleration: key operator value effect tolerationSeconds
resource.v1.ExactDeviceRequest: deviceClassName selectors allocationMode count adminAccess tolerations capacity
resource.v1.NetworkDeviceData: interfaceName ips hardwareAddress
resource.v1.NodeAllocatableResourceMapping: capacityKey allocationMultiplier
resource.v1.OpaqueDeviceConfiguration: driver parameters
resource.v1.ResourceClaim: metadata spec status
resource.v1.ResourceClaimConsumerReference: apiGroup resource=3 name uid
resource.v1.ResourceClaimSpec: devices
resource.v1.ResourceClaimStatus: allocation reservedFor devices=4
resource.v1.ResourceClaimTemplate: metadata spec
resource.v1.ResourceClaimTemplateSpec: metadata spec
resource.v1.ResourcePool: name generation resourceSliceCount
resource.v1.ResourceSlice: metadata spec
resource.v1.ResourceSliceSpec: driver pool nodeName nodeSelector allNodes devices perDeviceNodeSelection sharedCounters
scheduling.v1.PriorityClass: metadata value globalDefault description preemptionPolicy
storage.v1.CSIDriver: metadata spec
storage.v1.CSIDriverSpec: attachRequired podInfoOnMount volumeLifecycleModes storageCapacity fsGroupPolicy tokenRequests requiresRepublish seLinuxMount nodeAllocatableUpdatePeriodSeconds serviceAccountTokenInSecrets preventPodSchedulingIfMissing
storage.v1.CSINode: metadata spec
storage.v1.CSINodeDriver: name nodeID topologyKeys allocatable
storage.v1.CSINodeSpec: drivers
storage.v1.CSIStorageCapacity: metadata nodeTopology storageClassName capacity maximumVolumeSize
storage.v1.StorageClass: metadata provisioner parameters reclaimPolicy mountOptions allowVolumeExpansion volumeBindingMode allowedTopologies
storage.v1.TokenRequest: audience expirationSeconds
storage.v1.VolumeAttachment: metadata spec status
storage.v1.VolumeAttachmentSource: persistentVolumeName inlineVolumeSpec
storage.v1.VolumeAttachmentSpec: attacher source nodeName
storage.v1.VolumeAttachmentStatus: attached attachmentMetadata attachError detachError
storage.v1.VolumeAttributesClass: metadata driverName parameters
storage.v1.VolumeError: time message errorCode
storage.v1.VolumeNodeResources: count
apiextensions.v1.CustomResourceColumnDefinition: name type format description priority jsonPath
apiextensions.v1.CustomResourceConversion: strategy webhook
apiextensions.v1.CustomResourceDefinition: metadata spec status
apiextensions.v1.CustomResourceDefinitionCondition: type status lastTransitionTime reason message observedGeneration
apiextensions.v1.CustomResourceDefinitionNames: plural singular shortNames kind listKind categories
apiextensions.v1.CustomResourceDefinitionSpec: group names=3 scope versions=7 conversion=9 preserveUnknownFields
apiextensions.v1.CustomResourceDefinitionStatus: conditions acceptedNames storedVersions observedGeneration
apiextensions.v1.CustomResourceDefinitionVersion: name served storage schema subresources additionalPrinterColumns deprecated deprecationWarning selectableFields
apiextensions.v1.CustomResourceSubresourceScale: specReplicasPath statusReplicasPath labelSelectorPath
apiextensions.v1.CustomResourceSubresources: status scale
apiextensions.v1.CustomResourceValidation: openAPIV3Schema
apiextensions.v1.ExternalDocumentation: description url
apiextensions.v1.JSONSchemaProps: id $schema $ref description type format title default maximum exclusiveMaximum minimum exclusiveMinimum maxLength minLength pattern maxItems minItems uniqueItems multipleOf enum maxProperties minProperties required items allOf oneOf anyOf not properties additionalProperties patternProperties dependencies additionalItems definitions externalDocs example nullable x-kubernetes-preserve-unknown-fields x-kubernetes-embedded-resource x-kubernetes-int-or-string x-kubernetes-list-map-keys x-kubernetes-list-type x-kubernetes-map-type x-kubernetes-validations
apiextensions.v1.SelectableField: jsonPath
apiextensions.v1.ServiceReference: namespace name path port
apiextensions.v1.ValidationRule: rule message messageExpression reason fieldPath optionalOldSelf
apiextensions.v1.WebhookClientConfig: service caBundle url
apiextensions.v1.WebhookConversion: clientConfig=2 conversionReviewVersions
apiregistration.v1.APIService: metadata spec status
apiregistration.v1.APIServiceCondition: type status lastTransitionTime reason message
apiregistration.v1.APIServiceSpec: service group version insecureSkipTLSVerify caBundle groupPriorityMinimum=7 versionPriority
apiregistration.v1.APIServiceStatus: conditions
apiregistration.v1.ServiceReference: namespace name port
`;
