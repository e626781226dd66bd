import { RouteConfiguration } from "@weft/xds/generated/envoy/config/route/v3/route.ts";
import type { XdsType } from "@weft/xds";
import type { StreamState } from "@weft/xds/server";
import type { PushSnapshot } from "../model/push.ts";
import { resourcesOf } from "../translator/offline.ts";
import type { ProxyState } from "./distribution.ts";

/** What proxies have refused, looked into for the objects that it was made of. */
export interface RefusedResources {
	/** Is an object that leaves these texts part of what the proxy refuses of this type? `texts` undefined: whatever it refuses. */
	isBlamed(proxy: ProxyState, state: StreamState, texts: readonly string[] | undefined): boolean;
	/** The refused resources that bear one of the texts, or all. */
	namesOf(proxy: ProxyState, state: StreamState, texts: readonly string[] | undefined): readonly string[];
}

/** Translating for a proxy costs: what more proxies refuse of a type is taken to be as it is with these. */
const proxiesMax = 20;

export function createRefusedResources(push: PushSnapshot): RefusedResources {
	const contents = new Map<ProxyState, ReadonlyMap<string, Buffer>>();
	/** Who was looked into, and refuses the type. */
	const examined = new Map<XdsType, ProxyState[]>();
	const namesOf: RefusedResources["namesOf"] = (proxy, { type, nack }, texts) => {
		const names = nack?.names ?? [];
		if (texts === undefined) return names;
		const content = contents.get(proxy) ?? contentOf(push, proxy);
		contents.set(proxy, content);
		return names.filter((name) => texts.some((text) => name.includes(text) || content.get(`${type} ${name}`)?.includes(text)));
	};
	const isBlamed: RefusedResources["isBlamed"] = (proxy, state, texts) => {
		const { type, nack } = state;
		if (nack === undefined) return false;
		// Without names there is nothing to go by.
		if (texts === undefined || nack.names.length === 0) return true;
		const known = examined.get(type) ?? [];
		examined.set(type, known);
		if (!known.includes(proxy)) {
			if (known.length >= proxiesMax) return known.some((other) => isBlamed(other, stateOf(other, type) ?? state, texts));
			known.push(proxy);
		}
		return namesOf(proxy, state, texts).length > 0;
	};
	return { isBlamed, namesOf };
}

const stateOf = ({ states }: ProxyState, type: XdsType) => states.find((state) => state.type === type);

/** `type name` → the bytes of each resource that the proxy was sent by the present push and refuses. */
function contentOf(push: PushSnapshot, { node, states }: ProxyState): ReadonlyMap<string, Buffer> {
	const refused = new Map(states.flatMap(({ type, nack }) => (nack === undefined ? [] : [[type, new Set(nack.names)] as const])));
	// Whole tables: those of virtual hosts that go one by one are looked for in them.
	const resources = resourcesOf(push, node.vhds ? { ...node, vhds: false } : node);
	const found = new Map<string, Buffer>();
	for (const type of ["cds", "eds", "lds", "rds", "ecds"] as const) {
		const names = refused.get(type);
		if (names === undefined) continue;
		for (const { name, bytes } of resources[type]) if (names.has(name)) found.set(`${type} ${name}`, bufferOf(bytes));
	}
	for (const name of refused.get("vhds") ?? []) {
		const [table = ""] = name.split("/", 1);
		const domain = name.slice(table.length + 1);
		const route = resources.rds.find((resource) => resource.name === table);
		const host = route && RouteConfiguration.decode(route.bytes).virtualHosts.find((vh) => vh.name === domain || vh.domains.includes(domain));
		if (host) found.set(`vhds ${name}`, bufferOf(RouteConfiguration.encode(RouteConfiguration.fromPartial({ virtualHosts: [host] })).finish()));
	}
	return found;
}

const bufferOf = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
