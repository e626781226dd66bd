import { ProxyConfig } from "@weft/xds/generated/istio/mesh/v1alpha1/proxy.ts";
import type { EncodedResource, ResourceView } from "@weft/xds/server";
import { encodeResource } from "../translator/encode.ts";

/** Istio's PCDS: one resource without a name, the same for every proxy. */
export interface TrustResource {
	/** Undefined without roots: a control plane without certificates has none to tell of. */
	current(): EncodedResource | undefined;
	/** The view, and the roots beside what it has. */
	within(view: ResourceView): ResourceView;
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
		within(view) {
			const own = build();
			return {
				version: view.version,
				all: (type) => (type === "pcds" ? own : view.all(type)),
				get: (type, name) => (type === "pcds" ? own.get(name) : view.get(type, name)),
				members: (type, collection) => view.members(type, collection),
				revision: (type) => (type === "pcds" ? own : view.revision(type)),
				changes: (type, since) => view.changes(type, since),
			};
		},
	};
}
