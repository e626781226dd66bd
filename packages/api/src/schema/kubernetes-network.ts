import { bool, int32, intOrString, labels, list, open, opt, type StaticOf, text } from "./builders.ts";

// https://kubernetes.io/docs/reference/kubernetes-api/service-resources/: the fields that the mesh reads.

const kubeServicePortSchema = open({
	name: opt(text()),
	port: int32(),
	protocol: opt(text()),
	targetPort: opt(intOrString()),
	appProtocol: opt(text()),
	nodePort: opt(int32()),
});
export type KubeServicePort = StaticOf<typeof kubeServicePortSchema>;

export const kubeServiceSchema = open({
	type: opt(text()),
	selector: opt(labels()),
	ports: opt(list(kubeServicePortSchema)),
	clusterIP: opt(text()),
	clusterIPs: opt(list(text())),
	ipFamilies: opt(list(text())),
	externalName: opt(text()),
	externalIPs: opt(list(text())),
	loadBalancerIP: opt(text()),
	publishNotReadyAddresses: opt(bool()),
	internalTrafficPolicy: opt(text()),
	externalTrafficPolicy: opt(text()),
	trafficDistribution: opt(text()),
	sessionAffinity: opt(text()),
});
export type KubeServiceSpec = StaticOf<typeof kubeServiceSchema>;

export const serviceStatusSchema = open({
	loadBalancer: opt(open({ ingress: opt(list(open({ ip: opt(text()), hostname: opt(text()) }))) })),
});
export type ServiceStatus = StaticOf<typeof serviceStatusSchema>;

const objectReferenceSchema = open({ kind: opt(text()), name: opt(text()), namespace: opt(text()) });
export type ObjectReference = StaticOf<typeof objectReferenceSchema>;

const endpointPortSchema = open({ name: opt(text()), port: opt(int32()), protocol: opt(text()), appProtocol: opt(text()) });
export type EndpointPort = StaticOf<typeof endpointPortSchema>;

const endpointSchema = open({
	addresses: list(text()),
	conditions: opt(open({ ready: opt(bool()), serving: opt(bool()), terminating: opt(bool()) })),
	hostname: opt(text()),
	nodeName: opt(text()),
	zone: opt(text()),
	targetRef: opt(objectReferenceSchema),
});
export type Endpoint = StaticOf<typeof endpointSchema>;

export const endpointSliceSchema = open({
	addressType: opt(text()),
	endpoints: opt(list(endpointSchema)),
	ports: opt(list(endpointPortSchema)),
});
export type EndpointSliceSpec = StaticOf<typeof endpointSliceSchema>;

const endpointAddressSchema = open({ ip: text(), hostname: opt(text()), nodeName: opt(text()), targetRef: opt(objectReferenceSchema) });
const endpointSubsetSchema = open({
	addresses: opt(list(endpointAddressSchema)),
	notReadyAddresses: opt(list(endpointAddressSchema)),
	ports: opt(list(endpointPortSchema)),
});
export const endpointsSchema = open({ subsets: opt(list(endpointSubsetSchema)) });
export type EndpointsSpec = StaticOf<typeof endpointsSchema>;
