import { DeltaDiscoveryRequest, DiscoveryRequest } from "../generated/envoy/service/discovery/v3/discovery.ts";
import type { ClientRequest } from "./stream.ts";

export function decodeSotw(bytes: Buffer): ClientRequest {
	const request = DiscoveryRequest.decode(bytes);
	return {
		node: request.node,
		typeUrl: request.typeUrl,
		nonce: request.responseNonce,
		error: request.errorDetail?.message,
		change: { protocol: "sotw", names: request.resourceNames, version: request.versionInfo },
	};
}

export function decodeDelta(bytes: Buffer): ClientRequest {
	if (bytes.length < keptBytesMin || bytes.length > keptBytesMax) return decodePlain(bytes) ?? decodeAny(bytes);
	const known = kept.find((each) => each.bytes.equals(bytes));
	if (known) return known.request;
	const request = decodePlain(bytes);
	if (request === undefined) return decodeAny(bytes);
	if (kept.length >= keptMax) kept.shift();
	kept.push({ bytes: Buffer.from(bytes), request });
	return request;
}

/**
 * The last requests for many names: proxies of one class ask for the endpoints of the same clusters in the same bytes, and to read
 * and look up a thousand new strings for each costs more than to compare.
 */
const kept: { readonly bytes: Buffer; readonly request: ClientRequest }[] = [];
const keptMax = 4;
const keptBytesMin = 1 << 10;
const keptBytesMax = 1 << 20;

function decodeAny(bytes: Buffer): ClientRequest {
	const request = DeltaDiscoveryRequest.decode(bytes);
	return {
		node: request.node,
		typeUrl: request.typeUrl,
		nonce: request.responseNonce,
		error: request.errorDetail?.message,
		change: {
			protocol: "delta",
			subscribe: request.resourceNamesSubscribe,
			unsubscribe: request.resourceNamesUnsubscribe,
			initial: request.initialResourceVersions,
		},
	};
}

// Tags of a DeltaDiscoveryRequest's fields that are text: envoy/service/discovery/v3/discovery.proto.
const typeUrlTag = (2 << 3) | 2;
const subscribeTag = (3 << 3) | 2;
const unsubscribeTag = (4 << 3) | 2;
const nonceTag = (6 << 3) | 2;

const noNames: readonly string[] = [];
const noVersions: Readonly<Record<string, string>> = {};

/**
 * A request of nothing but text: acknowledgements, of which a push has one a proxy, and names, of which a new proxy has one
 * a cluster. Undefined for any other, and for what is not well-formed.
 */
function decodePlain(bytes: Buffer): ClientRequest | undefined {
	let typeUrl = "";
	let nonce = "";
	let subscribe: string[] | undefined;
	let unsubscribe: string[] | undefined;
	for (let at = 0; at < bytes.length; ) {
		const tag = bytes[at] as number;
		// A length of up to two bytes, as every name has.
		const low = bytes[at + 1] ?? 0;
		const high = low < 128 ? 0 : (bytes[at + 2] ?? 128);
		if (high >= 128) return undefined;
		const from = at + (low < 128 ? 2 : 3);
		const to = from + (low & 127) + high * 128;
		if (to > bytes.length) return undefined;
		const text = bytes.toString("utf8", from, to);
		if (tag === typeUrlTag) typeUrl = text;
		else if (tag === nonceTag) nonce = text;
		else if (tag === subscribeTag) (subscribe ??= []).push(text);
		else if (tag === unsubscribeTag) (unsubscribe ??= []).push(text);
		else return undefined;
		at = to;
	}
	const change = { protocol: "delta", subscribe: subscribe ?? noNames, unsubscribe: unsubscribe ?? noNames, initial: noVersions } as const;
	return { node: undefined, typeUrl, nonce, error: undefined, change };
}
