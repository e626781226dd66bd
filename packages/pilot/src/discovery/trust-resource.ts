import { ProxyConfig } from "@weft/xds/generated/istio/mesh/v1alpha1/proxy.ts";
import type { EncodedResource } from "@weft/xds/server";
import { encodeResource } from "../translator/encode.ts";

/** Istio's PCDS: one resource without a name, the same for every proxy. */
export interface TrustResource {
	/** Undefined without roots: a control plane without certificates has none to tell of. */
	current(): EncodedResource | undefined;
	/** It, as a set; none without roots. */
	all(): Resources;
}

type Resources = ReadonlyMap<string, EncodedResource>;
const none: Resources = new Map();

/** `roots`: PEM each; a new array when they change. */
export function createTrustResource(roots: () => readonly string[]): TrustResource {
	let builtOf: readonly string[] = [];
	let resources = none;
	const build = (): Resources => {
		const pems = roots();
		if (pems.length === 0) return none;
		if (pems !== builtOf) resources = new Map([["", encodeResource("pcds", "", ProxyConfig, { caCertificatesPem: [...pems] })]]);
		builtOf = pems;
		return resources;
	};
	return {
		current: () => build().get(""),
		all: build,
	};
}
