import type { Logger } from "@weft/runtime";
import type {
	DeltaDiscoveryRequest,
	DeltaDiscoveryResponse,
	DiscoveryRequest,
	DiscoveryResponse,
} from "@weft/xds/generated/envoy/service/discovery/v3/discovery.ts";
import { type SecretResource, type SecretSet, secretNames, secretTypeUrl } from "./secrets.ts";

/** One SDS stream, as pure state: requests and secrets go in, responses come out. A subscriber without secrets yet just waits. */
export interface SecretStream<Request, Response> {
	/** Undefined when there is nothing to say. */
	onRequest(request: Request): Response | undefined;
	onSecrets(secrets: SecretSet): Response | undefined;
}

// Two names are served, and files; more than this in one stream is no Envoy asking for secrets.
export const namesMax = 64;

interface Nack {
	readonly errorDetail: { readonly message: string } | undefined;
}

const noteNack = ({ errorDetail }: Nack, logger: Logger): void => {
	if (errorDetail !== undefined) logger.warn("secret was rejected by Envoy", { reason: errorDetail.message });
};

type IsServed = (name: string) => boolean;
const isOwn: IsServed = (name) => secretNames.has(name);

const noteUnknown = (names: Iterable<string>, isServed: IsServed, logger: Logger): void => {
	const unknown = [...names].filter((name) => !isServed(name));
	if (unknown.length > 0) logger.warn("secret is not served by this agent", { names: unknown.join(","), served: [...secretNames].join(",") });
};

const anyOf = ({ value }: SecretResource) => ({ typeUrl: secretTypeUrl, value: Buffer.from(value) });

/** State of the world: each response carries every secret subscribed (xDS protocol, "Basic Protocol Overview"). */
export function createSotwSecretStream(logger: Logger, isServed: IsServed = isOwn): SecretStream<DiscoveryRequest, DiscoveryResponse> {
	let names: ReadonlySet<string> = new Set();
	let secrets: SecretSet = new Map();
	let nonce = 0;
	const respond = (): DiscoveryResponse | undefined => {
		const found = [...names].flatMap((name) => secrets.get(name) ?? []);
		if (found.length === 0) return undefined;
		nonce++;
		const versionInfo = found.map(({ version }) => version).join(".");
		const resources = found.map(anyOf);
		return { versionInfo, resources, canary: false, typeUrl: secretTypeUrl, nonce: String(nonce), controlPlane: undefined };
	};
	return {
		onRequest(request) {
			// A stale nonce answers a response that has been superseded: the newer one will be answered too.
			if (request.responseNonce !== "" && request.responseNonce !== String(nonce)) return undefined;
			noteNack(request, logger);
			const wanted = new Set(request.resourceNames.slice(0, namesMax));
			const same = wanted.size === names.size && wanted.isSubsetOf(names);
			if (same) return undefined;
			noteUnknown(wanted.difference(names), isServed, logger);
			names = wanted;
			return respond();
		},
		onSecrets(next) {
			const changed = [...names].some((name) => next.get(name)?.version !== secrets.get(name)?.version);
			secrets = next;
			return changed ? respond() : undefined;
		},
	};
}

/** Incremental: a response carries only what the client does not have in this version. */
export function createDeltaSecretStream(logger: Logger, isServed: IsServed = isOwn): SecretStream<DeltaDiscoveryRequest, DeltaDiscoveryResponse> {
	const names = new Set<string>();
	/** What the client has, by its own word at the start and by ours since. */
	const versions = new Map<string, string>();
	let secrets: SecretSet = new Map();
	let nonce = 0;
	const respond = (unknown: readonly string[]): DeltaDiscoveryResponse | undefined => {
		const found = [...names].flatMap((name) => secrets.get(name) ?? []).filter(({ name, version }) => versions.get(name) !== version);
		if (found.length === 0 && unknown.length === 0) return undefined;
		nonce++;
		for (const { name, version } of found) versions.set(name, version);
		const empty = { resourceName: undefined, aliases: [], ttl: undefined, cacheControl: undefined, metadata: undefined };
		return {
			systemVersionInfo: "",
			resources: found.map((secret) => ({ ...empty, name: secret.name, version: secret.version, resource: anyOf(secret) })),
			typeUrl: secretTypeUrl,
			removedResources: [...unknown],
			removedResourceNames: [],
			nonce: String(nonce),
			controlPlane: undefined,
		};
	};
	return {
		onRequest(request) {
			noteNack(request, logger);
			const subscribe = request.resourceNamesSubscribe.slice(0, namesMax);
			const initial = new Map(Object.entries(request.initialResourceVersions));
			for (const name of request.resourceNamesUnsubscribe) {
				names.delete(name);
				versions.delete(name);
			}
			for (const name of subscribe) {
				// Subscribing anew asks for it again (xDS protocol, "Subscribing to Resources"), unless its version was told along.
				const told = initial.get(name);
				if (told === undefined) versions.delete(name);
				else versions.set(name, told);
				if (isServed(name)) names.add(name);
			}
			noteUnknown(subscribe, isServed, logger);
			return respond(subscribe.filter((name) => !isServed(name)));
		},
		onSecrets(next) {
			secrets = next;
			return respond([]);
		},
	};
}
