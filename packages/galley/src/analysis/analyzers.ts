import type { Diagnostic } from "@weft/api";
import { analyzeAnnotations } from "./annotations.ts";
import { analyzeClaimRouting } from "./claim-routing.ts";
import { analyzeConditions } from "./conditions.ts";
import { analyzeServicesOfDeployments, analyzeUsers } from "./deployments.ts";
import { analyzeDestinationRules } from "./destination-rules.ts";
import { analyzeDestinationHosts, analyzeIngressSubsets, analyzeSubsetReferences } from "./destinations.ts";
import { analyzeEnvoyFilters } from "./envoy-filters.ts";
import { analyzeDuplicateCertificates, analyzeGatewayCredentials } from "./gateway-certificates.ts";
import { analyzeGatewayConflicts, analyzeGatewaySelectors } from "./gateways.ts";
import { analyzeAutoImages, analyzeInjection } from "./injection.ts";
import { analyzeJwksNetworks } from "./jwks-networks.ts";
import type { MeshView } from "./mesh-view.ts";
import { analyzeGatewayPolicies, analyzePolicyNamespaces, analyzePolicySelectors } from "./policies.ts";
import { analyzeProxyImages } from "./proxy-images.ts";
import { analyzeServiceEntries } from "./service-entries.ts";
import { analyzePortNames } from "./services.ts";
import { analyzeSidecars } from "./sidecars.ts";
import { analyzeDefaultTelemetries, analyzeTelemetryProviders, analyzeTelemetrySelectors } from "./telemetries.ts";
import { analyzeGatewayReferences, analyzeMeshHostConflicts } from "./virtual-services.ts";
import { analyzeWebhooks } from "./webhooks.ts";

/** Answers questions about the whole mesh under one name, Istio's; none of them refuses anything. */
export interface Analyzer {
	readonly name: string;
	readonly description: string;
	/** It judges by Pods, Services, Namespaces or Secrets: without all of a cluster's it would complain of what is only not in the files. */
	readonly needsCluster: boolean;
	readonly analyze: readonly ((view: MeshView) => readonly Diagnostic[])[];
}

const entry = (needsCluster: boolean, name: string, description: string, ...analyze: Analyzer["analyze"]): Analyzer => ({
	name,
	description,
	needsCluster,
	analyze,
});
const ofFiles = entry.bind(undefined, false);
const ofCluster = entry.bind(undefined, true);

export const analyzers: readonly Analyzer[] = [
	ofCluster("virtualservice.DestinationHostAnalyzer", "hosts and ports that VirtualServices route to exist", analyzeDestinationHosts, analyzeIngressSubsets),
	ofFiles("virtualservice.DestinationRuleAnalyzer", "subsets that VirtualServices route to are defined", analyzeSubsetReferences),
	ofCluster("destinationrule.SubsetSelectPodAnalyzer", "hosts of DestinationRules exist, and their subsets select workloads", analyzeDestinationRules),
	ofFiles("virtualservice.ConflictingMeshGatewayHostsAnalyzer", "one VirtualService a host of the mesh", analyzeMeshHostConflicts),
	ofFiles("virtualservice.GatewayAnalyzer", "Gateways that VirtualServices name exist and have their hosts", analyzeGatewayReferences),
	ofCluster("gateway.IngressGatewayPortAnalyzer", "Gateways select workloads whose Service opens their ports", analyzeGatewaySelectors),
	ofCluster("gateway.ConflictingGatewayAnalyzer", "one Gateway a host and port of a workload", analyzeGatewayConflicts),
	ofCluster("gateway.SecretAnalyzer", "credentials of Gateways exist and can be used", analyzeGatewayCredentials),
	ofFiles("gateway.CertificateAnalyzer", "Gateways do not share a certificate", analyzeDuplicateCertificates),
	ofFiles("serviceentry.Analyzer", "ServiceEntries have addresses where their protocol needs them", analyzeServiceEntries),
	ofCluster("deployment.MultiServiceAnalyzer", "Services of one Deployment agree about its ports", analyzeServicesOfDeployments),
	ofCluster("applicationUID.Analyzer", "applications do not run as the proxy's user", analyzeUsers),
	ofCluster("injection.Analyzer", "labels for injection, and pods that miss the proxy", analyzeInjection),
	ofCluster("injection.ImageAutoAnalyzer", "pods with `image: auto` were injected", analyzeAutoImages),
	ofCluster("injection.ImageAnalyzer", "pods run the proxy that injection would give them now", analyzeProxyImages),
	ofCluster("webhook.Analyzer", "webhooks of injection do not overlap, and their Services exist", analyzeWebhooks),
	ofCluster("conditions.ConditionAnalyzer", "what controllers say of objects in their status", analyzeConditions),
	ofCluster("authn.BlockedCIDRsAnalyzer", "keys of RequestAuthentications are fetched from trusted networks", analyzeJwksNetworks),
	ofCluster("annotations.K8sAnalyzer", "Istio's annotations of Kubernetes' objects are known, and in their place", analyzeAnnotations),
	ofCluster("sidecar.SelectorAnalyzer", "Sidecars select workloads, one Sidecar a workload", analyzeSidecars),
	ofCluster("service.PortNameAnalyzer", "names of Services' ports tell their protocol", analyzePortNames),
	ofCluster(
		"auth.AuthorizationPoliciesAnalyzer",
		"AuthorizationPolicies select workloads and name namespaces that exist",
		analyzePolicyNamespaces,
		analyzePolicySelectors,
	),
	ofCluster("k8sgateway.SelectorAnalyzer", "policies for Kubernetes Gateways name them as their target", analyzeGatewayPolicies),
	ofCluster("virtualservice.JWTClaimRouteAnalyzer", "routes by claims have a RequestAuthentication", analyzeClaimRouting),
	ofFiles("telemetry.DefaultSelectorAnalyzer", "one Telemetry without selector a namespace", analyzeDefaultTelemetries),
	ofCluster("telemetry.SelectorAnalyzer", "Telemetries select workloads, one Telemetry a workload", analyzeTelemetrySelectors),
	ofFiles("telemetry.ProviderAnalyzer", "access logging has a provider", analyzeTelemetryProviders),
	ofFiles("envoyfilter.EnvoyPatchAnalyzer", "patches of EnvoyFilters do not depend on chance", analyzeEnvoyFilters),
];
