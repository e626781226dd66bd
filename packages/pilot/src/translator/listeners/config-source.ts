import { ApiConfigSource_ApiType, ApiVersion } from "@weft/xds/generated/envoy/config/core/v3/config_source.ts";
import { zeroDuration } from "../routes/values.ts";

/** From the stream that this very resource came by; Envoy waits for it without limit. */
export const ads = { ads: {}, initialFetchTimeout: zeroDuration, resourceApiVersion: ApiVersion.V3 };

/** Secrets come from the agent beside the proxy, never from the control plane: keys do not leave the workload. */
const agentSecrets = {
	apiConfigSource: {
		apiType: ApiConfigSource_ApiType.GRPC,
		transportApiVersion: ApiVersion.V3,
		grpcServices: [{ envoyGrpc: { clusterName: "sds-grpc" } }],
		setNodeOnFirstMessageOnly: true,
	},
	initialFetchTimeout: zeroDuration,
	resourceApiVersion: ApiVersion.V3,
};

/** Files of the proxy's own container, which the agent reads. */
export function fileSecretConfig(name: string): { readonly name: string; readonly sdsConfig: object } {
	const { initialFetchTimeout: _, ...sdsConfig } = agentSecrets;
	return { name, sdsConfig };
}

export function secretConfig(name: "default" | "ROOTCA"): { readonly name: string; readonly sdsConfig: object } {
	return { name, sdsConfig: agentSecrets };
}

/** Of the files that the proxy names in its metadata; where it names none, what the mesh gives it. */
export function ownSecretConfig(file: string | undefined, name: "default" | "ROOTCA"): { readonly name: string; readonly sdsConfig: object } {
	return file === undefined ? secretConfig(name) : fileSecretConfig(file);
}
