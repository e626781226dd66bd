import { type handleBidiStreamingCall, Server, type ServerDuplexStream } from "@grpc/grpc-js";
import { fromJson, messageFns, stripTypeUrl } from "@weft/xds";
import { DeltaDiscoveryRequest, DeltaDiscoveryResponse } from "@weft/xds/generated/envoy/service/discovery/v3/discovery.ts";
import { loopback } from "./config.ts";
import { bindServer, deltaMethod } from "./grpc-method.ts";
import { grpcCluster } from "./grpc-services.ts";

type Stream = ServerDuplexStream<DeltaDiscoveryRequest, DeltaDiscoveryResponse>;

interface Held {
	readonly version: string;
	readonly value: Uint8Array;
	/** Goes to those who ask for all, too. */
	readonly isForAll: boolean;
}

interface Interest {
	readonly names: Set<string>;
	/** Of what went out, by name. */
	readonly sent: Map<string, string>;
	isAll: boolean;
}

export interface Refusal {
	readonly typeUrl: string;
	readonly message: string;
}

/** A delta ADS server under a test's hand: what it has by type and name, and what it was asked. Each proxy of a pair has one of its own. */
export class AdsServer {
	/** `type name`, as they came, one for each name in each request. */
	readonly asked: string[] = [];
	readonly unsubscribed: string[] = [];
	readonly refusals: Refusal[] = [];
	/** Names that are never answered while they are not there. */
	readonly silent = new Set<string>();
	readonly #held = new Map<string, Map<string, Held>>();
	readonly #interests = new Map<string, Interest>();
	readonly #server = new Server();
	#stream: Stream | undefined;
	#count = 0;

	start(): Promise<number> {
		const stream: handleBidiStreamingCall<DeltaDiscoveryRequest, DeltaDiscoveryResponse> = (call) => {
			this.#stream = call;
			this.#interests.clear();
			call.on("error", () => undefined).on("end", () => call.end());
			call.on("data", (request: DeltaDiscoveryRequest) => this.#receive(request));
		};
		this.#server.addService({ stream: deltaMethod() }, { stream });
		return bindServer(this.#server);
	}

	stop(): void {
		this.#server.forceShutdown();
	}

	/** `json`: with its `name`, or its `cluster_name`. `isForAll`: not only to those who ask for it by name. */
	set(typeUrl: string, resources: readonly object[], isForAll = true): void {
		const typeName = stripTypeUrl(typeUrl);
		const held = this.#of(typeUrl);
		for (const json of resources as readonly { name?: string; cluster_name?: string }[]) {
			const value = messageFns(typeName)?.encode(fromJson(typeName, json)).finish() ?? new Uint8Array();
			held.set(json.name ?? json.cluster_name ?? "", { version: String(++this.#count), value, isForAll });
		}
		this.#push(typeUrl, []);
	}

	remove(typeUrl: string, ...names: readonly string[]): void {
		for (const name of names) this.#of(typeUrl).delete(name);
		this.#push(typeUrl, names);
	}

	/** Names of this type that were asked for, once each. */
	namesAsked(typeUrl: string): readonly string[] {
		const prefix = `${typeUrl} `;
		return [...new Set(this.asked.filter((one) => one.startsWith(prefix)).map((one) => one.slice(prefix.length)))].sort();
	}

	#of(typeUrl: string): Map<string, Held> {
		let held = this.#held.get(typeUrl);
		if (held === undefined) this.#held.set(typeUrl, (held = new Map()));
		return held;
	}

	#receive({ typeUrl, resourceNamesSubscribe, resourceNamesUnsubscribe, responseNonce, errorDetail, initialResourceVersions }: DeltaDiscoveryRequest): void {
		if (errorDetail !== undefined) this.refusals.push({ typeUrl, message: errorDetail.message });
		let interest = this.#interests.get(typeUrl);
		const isFirst = interest === undefined;
		if (interest === undefined) {
			interest = {
				names: new Set(),
				sent: new Map(Object.entries(initialResourceVersions)),
				isAll: responseNonce === "" && resourceNamesSubscribe.length === 0,
			};
			this.#interests.set(typeUrl, interest);
		}
		for (const name of resourceNamesSubscribe) {
			this.asked.push(`${typeUrl} ${name}`);
			if (name === "*") interest.isAll = true;
			else interest.names.add(name);
			// Who asks again is answered again.
			interest.sent.delete(name);
		}
		for (const name of resourceNamesUnsubscribe) {
			this.unsubscribed.push(`${typeUrl} ${name}`);
			interest.names.delete(name);
			interest.sent.delete(name);
		}
		const absent = resourceNamesSubscribe.filter((name) => name !== "*" && !this.#of(typeUrl).has(name) && !this.silent.has(name));
		this.#push(typeUrl, absent, isFirst && interest.isAll);
	}

	#push(typeUrl: string, removed: readonly string[], evenIfEmpty = false): void {
		const interest = this.#interests.get(typeUrl);
		if (interest === undefined || this.#stream === undefined) return;
		const wanted = [...this.#of(typeUrl)].filter(([name, { isForAll }]) => interest.names.has(name) || (interest.isAll && isForAll));
		const fresh = wanted.filter(([name, { version }]) => interest.sent.get(name) !== version);
		const gone = removed.filter((name) => interest.names.has(name) || interest.sent.has(name));
		if (fresh.length + gone.length === 0 && !evenIfEmpty) return;
		for (const name of gone) interest.sent.delete(name);
		const resources = fresh.map(([name, { version, value }]) => {
			interest.sent.set(name, version);
			return { name, version, resource: { typeUrl, value } };
		});
		const nonce = String(++this.#count);
		this.#stream.write(DeltaDiscoveryResponse.fromPartial({ typeUrl, nonce, systemVersionInfo: nonce, resources, removedResources: gone }));
	}
}

export const ads = { ads: {}, resource_api_version: "V3" };

/** A bootstrap that asks the server at this port for listeners and clusters, beside listeners of its own. */
export const adsBootstrap = (port: number, listeners: readonly object[]) => ({
	node: { id: "n", cluster: "c" },
	admin: { address: loopback(0) },
	dynamic_resources: {
		ads_config: { api_type: "DELTA_GRPC", transport_api_version: "V3", grpc_services: [{ envoy_grpc: { cluster_name: "xds" } }] },
		lds_config: ads,
		cds_config: ads,
	},
	static_resources: { clusters: [grpcCluster("xds", port)], listeners },
});
