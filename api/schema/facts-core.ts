// What the client models lose about the types of the core group: one line a type, one word a field.
// The notation is read by `facts.ts`; every word is checked against the published OpenAPI in `openapi/openapi.test.ts`.

export const CORE_FACTS = `
core.v1.AWSElasticBlockStoreVolumeSource: partition~
core.v1.AppArmorProfile: localhostProfile*
core.v1.AzureDiskVolumeSource: cachingMode*="ReadWrite" fsType*="ext4" kind*="Shared" readOnly*=false
core.v1.AzureFilePersistentVolumeSource: secretNamespace*!
core.v1.CSIVolumeSource: fsType* readOnly*
core.v1.ClusterTrustBundleProjection: name* optional* signerName*
core.v1.ComponentStatus: conditions[type]+type
core.v1.ConfigMap: immutable*
core.v1.ConfigMapEnvSource: name="" optional*
core.v1.ConfigMapKeySelector: name="" optional*
core.v1.ConfigMapProjection: name="" optional*
core.v1.ConfigMapVolumeSource: name="" optional*
core.v1.Container: env[name]+name ports[containerPort,protocol]+containerPort resources! restartPolicy* volumeDevices[devicePath]+devicePath volumeMounts[mountPath]+mountPath
core.v1.ContainerImage: names! sizeBytes~
core.v1.ContainerPort: hostPort~ protocol="TCP"
core.v1.ContainerRestartRule: action~
core.v1.ContainerRestartRuleOnExitCodes: operator~ values[]
core.v1.ContainerStateRunning: startedAt!
core.v1.ContainerStateTerminated: finishedAt! signal~ startedAt!
core.v1.ContainerStatus: allocatedResources<Quantity> allocatedResourcesStatus[name]+name lastState! started* state! stopSignal* volumeMounts[mountPath]+mountPath
core.v1.EmptyDirVolumeSource: sizeLimit<Quantity>
core.v1.EndpointAddress: nodeName*
core.v1.EndpointPort: appProtocol*
core.v1.EphemeralContainer: env[name]+name ports[containerPort,protocol]+containerPort resources! restartPolicy* volumeDevices[devicePath]+devicePath volumeMounts[mountPath]+mountPath
core.v1.Event: count~ eventTime! firstTimestamp! lastTimestamp! reportingComponent! reportingInstance! source!
core.v1.EventSeries: count~ lastObservedTime!
core.v1.FileKeySelector: optional*=false
core.v1.GCEPersistentDiskVolumeSource: partition~
core.v1.GRPCAction: service*!=""
core.v1.GlusterfsPersistentVolumeSource: endpointsNamespace*
core.v1.HostPathVolumeSource: type*
core.v1.ISCSIPersistentVolumeSource: initiatorName* iscsiInterface="default"
core.v1.ISCSIVolumeSource: initiatorName* iscsiInterface="default"
core.v1.ImageVolumeStatus: imageRef~
core.v1.Lifecycle: stopSignal*
core.v1.LimitRangeItem: default<Quantity> defaultRequest<Quantity> max<Quantity> maxLimitRequestRatio<Quantity> min<Quantity>
core.v1.LoadBalancerIngress: ipMode*
core.v1.LocalObjectReference: name=""
core.v1.LocalVolumeSource: fsType*
core.v1.NamespaceCondition: lastTransitionTime!
core.v1.NamespaceStatus: conditions[type]+type
core.v1.NodeAllocatableResourceClaimStatus: containers[] resources<Quantity>
core.v1.NodeCondition: lastHeartbeatTime! lastTransitionTime!
core.v1.NodeDaemonEndpoints: kubeletEndpoint!
core.v1.NodeFeatures: supplementalGroupsPolicy*
core.v1.NodeRuntimeHandler: name!
core.v1.NodeRuntimeHandlerFeatures: recursiveReadOnlyMounts* userNamespaces*
core.v1.NodeSpec: podCIDRs[]+
core.v1.NodeStatus: addresses[type]+type allocatable<Quantity> capacity<Quantity> conditions[type]+type daemonEndpoints! nodeInfo!
core.v1.PersistentVolumeClaimCondition: lastProbeTime! lastTransitionTime!
core.v1.PersistentVolumeClaimSpec: resources! storageClassName* volumeAttributesClassName* volumeMode*
core.v1.PersistentVolumeClaimStatus: allocatedResourceStatuses{granular} allocatedResources<Quantity> capacity<Quantity> conditions[type]+type currentVolumeAttributesClassName*
core.v1.PersistentVolumeSpec: capacity<Quantity> claimRef{granular} volumeAttributesClassName* volumeMode*
core.v1.PodCertificateProjection: keyType~ signerName~
core.v1.PodCondition: lastProbeTime! lastTransitionTime! observedGeneration~
core.v1.PodDNSConfigOption: value*
core.v1.PodResourceClaim: resourceClaimName* resourceClaimTemplateName*
core.v1.PodResourceClaimStatus: resourceClaimName*
core.v1.PodSchedulingGroup: podGroupName*
core.v1.PodSecurityContext: fsGroupChangePolicy* runAsNonRoot* seLinuxChangePolicy* supplementalGroupsPolicy*
core.v1.PodSpec: automountServiceAccountToken* containers[name]+name enableServiceLinks* ephemeralContainers[name]+name hostAliases[ip]+ip hostUsers* hostnameOverride* imagePullSecrets[name]+name initContainers[name]+name nodeSelector{atomic} overhead<Quantity> preemptionPolicy* resourceClaims[name]+name^ runtimeClassName* schedulingGates[name]+name setHostnameAsFQDN* shareProcessNamespace* topologySpreadConstraints[topologyKey,whenUnsatisfiable]+topologyKey volumes[name]+name^
core.v1.PodStatus: allocatedResources<Quantity> conditions[type]+type hostIPs+ip observedGeneration~ podIPs[ip]+ip resourceClaimStatuses[name]+name^
core.v1.PodTemplate: template!
core.v1.PodTemplateSpec: spec!
core.v1.PortStatus: error*
core.v1.Probe: failureThreshold~ initialDelaySeconds~ periodSeconds~ successThreshold~ timeoutSeconds~
core.v1.ProjectedVolumeSource: sources!
core.v1.RBDPersistentVolumeSource: keyring="/etc/ceph/keyring" pool="rbd" user="admin"
core.v1.RBDVolumeSource: keyring="/etc/ceph/keyring" pool="rbd" user="admin"
core.v1.ReplicationControllerCondition: lastTransitionTime!
core.v1.ReplicationControllerSpec: minReadySeconds~=0 replicas=1 selector{atomic}
core.v1.ReplicationControllerStatus: availableReplicas~ conditions[type]+type fullyLabeledReplicas~ observedGeneration~ readyReplicas~
core.v1.ResourceFieldSelector: divisor<Quantity>!
core.v1.ResourceHealth: message*
core.v1.ResourceQuotaSpec: hard<Quantity>
core.v1.ResourceQuotaStatus: hard<Quantity> used<Quantity>
core.v1.ResourceRequirements: claims[name] limits<Quantity> requests<Quantity>
core.v1.ResourceStatus: resources[resourceID]
core.v1.ScaleIOPersistentVolumeSource: fsType="xfs" secretRef*! storageMode="ThinProvisioned"
core.v1.ScaleIOVolumeSource: fsType="xfs" secretRef*! storageMode="ThinProvisioned"
core.v1.SeccompProfile: localhostProfile*
core.v1.Secret: immutable*
core.v1.SecretEnvSource: name="" optional*
core.v1.SecretKeySelector: name="" optional*
core.v1.SecretProjection: name="" optional*
core.v1.SecretVolumeSource: optional*
core.v1.SecurityContext: allowPrivilegeEscalation* privileged* procMount* readOnlyRootFilesystem* runAsNonRoot*
core.v1.ServiceAccount: automountServiceAccountToken* secrets[name]+name
core.v1.ServicePort: appProtocol* nodePort~ protocol="TCP" targetPort!
core.v1.ServiceSpec: allocateLoadBalancerNodePorts* healthCheckNodePort~ internalTrafficPolicy* ipFamilyPolicy* loadBalancerClass* ports[port,protocol]+port selector{atomic} trafficDistribution*
core.v1.ServiceStatus: conditions[type]+type loadBalancer!
core.v1.TopologySpreadConstraint: nodeAffinityPolicy* nodeTaintsPolicy*
core.v1.TypedLocalObjectReference: apiGroup*!
core.v1.TypedObjectReference: apiGroup*! namespace*
core.v1.VolumeMount: mountPropagation* recursiveReadOnly*
core.v1.VolumeMountStatus: recursiveReadOnly*
core.v1.VolumeResourceRequirements: limits<Quantity> requests<Quantity>
core.v1.WindowsSecurityContextOptions: gmsaCredentialSpec* gmsaCredentialSpecName* hostProcess* runAsUserName*
`;
