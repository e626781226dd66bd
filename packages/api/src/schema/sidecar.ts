import { list, obj, oneOf, opt, type StaticOf, text } from "./builders.ts";
import { destinationSchema, sidecarPortSchema, workloadSelectorSchema } from "./common.ts";
import { connectionPoolSchema } from "./destination-rule.ts";
import { serverTlsSchema } from "./gateway.ts";

// https://istio.io/latest/docs/reference/config/networking/sidecar/

const captureModeSchema = oneOf(["DEFAULT", "IPTABLES", "NONE"]);

const ingressListenerSchema = obj({
	port: sidecarPortSchema,
	bind: opt(text()),
	captureMode: opt(captureModeSchema),
	defaultEndpoint: opt(text()),
	tls: opt(serverTlsSchema),
	connectionPool: opt(connectionPoolSchema),
});
export type IstioIngressListener = StaticOf<typeof ingressListenerSchema>;

const egressListenerSchema = obj({
	port: opt(sidecarPortSchema),
	bind: opt(text()),
	captureMode: opt(captureModeSchema),
	hosts: list(text()),
});
export type IstioEgressListener = StaticOf<typeof egressListenerSchema>;

export const outboundTrafficPolicyModes = ["REGISTRY_ONLY", "ALLOW_ANY"] as const;

export const sidecarSchema = obj({
	workloadSelector: opt(workloadSelectorSchema),
	ingress: opt(list(ingressListenerSchema)),
	egress: opt(list(egressListenerSchema)),
	inboundConnectionPool: opt(connectionPoolSchema),
	outboundTrafficPolicy: opt(obj({ mode: opt(oneOf(outboundTrafficPolicyModes)), egressProxy: opt(destinationSchema) })),
});
export type SidecarSpec = StaticOf<typeof sidecarSchema>;
