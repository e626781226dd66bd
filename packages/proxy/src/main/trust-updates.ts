import { typeUrls } from "@weft/xds";
import type { ApplyUpdate } from "@weft/xds/client";
import { ProxyConfig } from "@weft/xds/generated/istio/mesh/v1alpha1/proxy.ts";

/** Takes the roots that workloads trust, PEM; resolves when they are in force, to the reason if they are refused. */
export type OnTrustRoots = (rootsPem: string) => Promise<string | undefined>;

/** Istio's PCDS beside the proxy's own resources: acknowledged once peers are held against these roots. */
export function applyTrustRoots(apply: ApplyUpdate, onTrustRoots: OnTrustRoots): ApplyUpdate {
	return async (update) => {
		if (update.typeUrl !== typeUrls.pcds) return apply(update);
		const [config] = update.resources;
		if (config === undefined) return [];
		const { caCertificatesPem } = ProxyConfig.decode(config.resource.value);
		const refusal = caCertificatesPem.length === 0 ? undefined : await onTrustRoots(caCertificatesPem.join("\n"));
		return refusal === undefined ? [] : [{ name: config.name, message: refusal }];
	};
}
