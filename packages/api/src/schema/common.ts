import { bool, double, duration, int32, labels, list, map, obj, oneOf, opt, type StaticOf, text, uint32 } from "./builders.ts";

const stringMatch = (format: "regex" | "regex-or-any", description: string) =>
	obj(
		{
			exact: opt(text()),
			prefix: opt(text()),
			regex: opt(text({ "x-weft-format": format, description })),
		},
		{ "x-weft-one-of": [["exact", "prefix", "regex"]] },
	);

export const stringMatchSchema = stringMatch("regex", "RE2 syntax.");
/** Of what must not be there. Istio takes `*` for any value here, and nowhere else. */
export const absenceMatchSchema = stringMatch("regex-or-any", "RE2 syntax, or * for any value.");
export type StringMatch = StaticOf<typeof stringMatchSchema>;

export const percentSchema = obj({ value: opt(double({ description: "0 to 100." })) });
export type Percent = StaticOf<typeof percentSchema>;

export const portSelectorSchema = obj({ number: opt(uint32()) });
export type PortSelector = StaticOf<typeof portSelectorSchema>;

export const destinationSchema = obj({
	host: text({ description: "Name of a service; short names are read in the rule's own namespace." }),
	subset: opt(text()),
	port: opt(portSelectorSchema),
});
export type Destination = StaticOf<typeof destinationSchema>;

const headerOperationsSchema = obj({ set: opt(labels()), add: opt(labels()), remove: opt(list(text())) });
export type HeaderOperations = StaticOf<typeof headerOperationsSchema>;

export const headersSchema = obj({ request: opt(headerOperationsSchema), response: opt(headerOperationsSchema) });
export type Headers = StaticOf<typeof headersSchema>;

export const workloadSelectorSchema = obj({ labels: opt(labels()) });
export type WorkloadSelector = StaticOf<typeof workloadSelectorSchema>;

/** istio.type.v1beta1.WorkloadSelector. */
export const matchLabelsSelectorSchema = obj({ matchLabels: opt(labels()) });
export type MatchLabelsSelector = StaticOf<typeof matchLabelsSelectorSchema>;

/** istio.type.v1beta1.PolicyTargetReference. */
export const targetRefSchema = obj({ group: opt(text()), kind: text(), name: text(), namespace: opt(text()) });
export type TargetRef = StaticOf<typeof targetRefSchema>;

/** What a policy is attached to: one of `selector`, `targetRef` and `targetRefs`, or nothing for the whole namespace. */
export const policyTarget = {
	selector: opt(matchLabelsSelectorSchema),
	targetRef: opt(targetRefSchema),
	targetRefs: opt(list(targetRefSchema)),
};

export const providerRefSchema = obj({ name: text({ description: "Of MeshConfig.extensionProviders, or a built-in one." }) });
export type ProviderRef = StaticOf<typeof providerRefSchema>;

export const portSchema = obj({
	number: uint32(),
	protocol: opt(text()),
	name: opt(text()),
	targetPort: opt(uint32({ description: "Deprecated: the service's targetPort decides; remove it." })),
});
export type Port = StaticOf<typeof portSchema>;

export const servicePortSchema = obj({
	number: uint32(),
	protocol: opt(text()),
	name: text(),
	targetPort: opt(uint32()),
});
export type ServicePort = StaticOf<typeof servicePortSchema>;

export const sidecarPortSchema = obj({ number: opt(uint32()), protocol: opt(text()), name: opt(text()), targetPort: opt(uint32()) });
export type SidecarPort = StaticOf<typeof sidecarPortSchema>;

export const httpRetrySchema = obj({
	attempts: opt(int32()),
	perTryTimeout: opt(duration()),
	retryOn: opt(text()),
	retryRemoteLocalities: opt(bool()),
	retryIgnorePreviousHosts: opt(bool()),
	backoff: opt(duration()),
});
export type HTTPRetry = StaticOf<typeof httpRetrySchema>;

export const tcpKeepaliveSchema = obj({ probes: opt(uint32()), time: opt(duration()), interval: opt(duration()) });
export type TcpKeepalive = StaticOf<typeof tcpKeepaliveSchema>;

export const localityLbSettingSchema = obj({
	distribute: opt(list(obj({ from: opt(text()), to: opt(map(uint32())) }))),
	failover: opt(list(obj({ from: opt(text()), to: opt(text()) }))),
	failoverPriority: opt(list(text())),
	enabled: opt(bool()),
});
export type LocalityLoadBalancerSetting = StaticOf<typeof localityLbSettingSchema>;

export const tlsProtocols = ["TLS_AUTO", "TLSV1_0", "TLSV1_1", "TLSV1_2", "TLSV1_3"] as const;
export const tlsProtocolSchema = oneOf(tlsProtocols);
