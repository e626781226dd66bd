import { type ServerDuplexStream, Server } from "@grpc/grpc-js";
import { fromJson, messageFns, stripTypeUrl, typeUrls, xdsTypeOf } from "@weft/xds";
import {
	DeltaDiscoveryRequest,
	DeltaDiscoveryResponse,
	DiscoveryRequest,
	DiscoveryResponse,
} from "@weft/xds/generated/envoy/service/discovery/v3/discovery.ts";
import { bindServer, grpcMethod } from "./grpc-method.ts";

export type ServedType = "cds" | "eds" | "lds" | "rds" | "vhds" | "sds" | "ecds";

const services: Readonly<Record<ServedType | "ads", readonly [service: string, sotw: string | undefined, delta: string]>> = {
	ads: ["discovery.v3.AggregatedDiscoveryService", "StreamAggregatedResources", "DeltaAggregatedResources"],
	cds: ["cluster.v3.ClusterDiscoveryService", "StreamClusters", "DeltaClusters"],
	eds: ["endpoint.v3.EndpointDiscoveryService", "StreamEndpoints", "DeltaEndpoints"],
	lds: ["listener.v3.ListenerDiscoveryService", "StreamListeners", "DeltaListeners"],
	rds: ["route.v3.RouteDiscoveryService", "StreamRoutes", "DeltaRoutes"],
	vhds: ["route.v3.VirtualHostDiscoveryService", undefined, "DeltaVirtualHosts"],
	sds: ["secret.v3.SecretDiscoveryService", "StreamSecrets", "DeltaSecrets"],
	ecds: ["extension.v3.ExtensionConfigDiscoveryService", "StreamExtensionConfigs", "DeltaExtensionConfigs"],
};

/** One stream that a proxy opened: what it asked for, and what it answered. */
export interface SeenStream {
	/** `ads`, or the type whose own service it is. */
	readonly service: ServedType | "ads";
	readonly mode: "sotw" | "delta";
	/** By type. */
	readonly names: Map<string, Set<string>>;
	readonly requests: (DiscoveryRequest | DeltaDiscoveryRequest)[];
	/** Messages of refusals. */
	readonly refusals: string[];
	readonly metadata: Readonly<Record<string, unknown>>;
	isOpen: boolean;
	/** `absent`: what was asked for by name and is not there. */
	push(typeUrl: string, names: readonly string[], absent: readonly string[]): void;
}

interface Held {
	readonly version: string;
	readonly value: Uint8Array;
}

/** A management server with the service of each type and the aggregated one, in both variants of the protocol. */
export class DiscoveryServer {
	readonly streams: SeenStream[] = [];
	/** How long answers of a type take. */
	readonly delaysMs = new Map<ServedType, number>();
	readonly #resources = new Map<string, Map<string, Held>>();
	#server: Server | undefined;
	#version = 0;
	#nonce = 0;

	/** `address`: a port of the loopback interface, 0 for any, or the path of a socket. Resolves to the port. */
	listen(address: number | string = 0): Promise<number> {
		const server = new Server();
		this.#server = server;
		for (const [service, [name, sotw, delta]] of Object.entries(services) as [ServedType | "ads", (typeof services)["ads"]][]) {
			const path = (method: string) => `/envoy.service.${name}/${method}`;
			const methods = {
				...(sotw !== undefined && { sotw: grpcMethod(path(sotw), "bidirectional", DiscoveryRequest, DiscoveryResponse) }),
				delta: grpcMethod(path(delta), "bidirectional", DeltaDiscoveryRequest, DeltaDiscoveryResponse),
			};
			server.addService(methods, {
				sotw: (call: ServerDuplexStream<DiscoveryRequest, DiscoveryResponse>) => this.#serveSotw(service, call),
				delta: (call: ServerDuplexStream<DeltaDiscoveryRequest, DeltaDiscoveryResponse>) => this.#serveDelta(service, call),
			});
		}
		const target = typeof address === "string" ? `unix:${address}` : `127.0.0.1:${address}`;
		return bindServer(server, target);
	}

	/** Ends every stream and refuses connections; what it holds stays for the next `listen`. */
	stop(): void {
		this.#server?.forceShutdown();
		this.#server = undefined;
	}

	/** Puts a resource in place, as JSON, and tells who asked for it; undefined takes it away. */
	set(type: ServedType, name: string, json: object | undefined): void {
		const typeUrl = typeUrls[type];
		const held = this.#resources.get(typeUrl) ?? new Map<string, Held>();
		this.#resources.set(typeUrl, held);
		const typeName = stripTypeUrl(typeUrl);
		this.#version++;
		if (json === undefined) held.delete(name);
		else {
			const value = messageFns(typeName)?.encode(fromJson(typeName, json)).finish() ?? new Uint8Array();
			held.set(name, { version: String(this.#version), value });
		}
		for (const stream of this.open) if (stream.names.has(typeUrl)) stream.push(typeUrl, [name], []);
	}

	get open(): readonly SeenStream[] {
		return this.streams.filter(({ isOpen }) => isOpen);
	}

	#serveSotw(service: ServedType | "ads", call: ServerDuplexStream<DiscoveryRequest, DiscoveryResponse>): void {
		const stream = this.#opened(service, "sotw", call, (typeUrl) => {
			const names = stream.names.get(typeUrl) ?? new Set();
			const all = [...(this.#resources.get(typeUrl) ?? [])].filter(([name]) => isWhole(typeUrl) || names.has(name));
			if (all.length === 0 && !isWhole(typeUrl)) return;
			const resources = all.map(([, { value }]) => ({ typeUrl, value }));
			call.write(DiscoveryResponse.fromPartial({ typeUrl, versionInfo: String(this.#version), nonce: String(++this.#nonce), resources }));
		});
		call.on("data", (request: DiscoveryRequest) => {
			note(stream, request);
			const { resourceNames, typeUrl } = request;
			const before = stream.names.get(typeUrl);
			stream.names.set(typeUrl, new Set(resourceNames));
			if (before === undefined || resourceNames.some((name) => !before.has(name))) stream.push(typeUrl, resourceNames, []);
		});
	}

	#serveDelta(service: ServedType | "ads", call: ServerDuplexStream<DeltaDiscoveryRequest, DeltaDiscoveryResponse>): void {
		const wildcards = new Set<string>();
		const stream = this.#opened(service, "delta", call, (typeUrl, names, absent) => {
			const held = this.#resources.get(typeUrl) ?? new Map<string, Held>();
			const own = [...(stream.names.get(typeUrl) ?? [])];
			const asked = names.filter((name) => wildcards.has(typeUrl) || own.some((one) => one === name || name.startsWith(`${one}/`)));
			const found = asked.flatMap((name) => {
				const one = held.get(name);
				return one === undefined ? [] : [{ name, version: one.version, resource: { typeUrl, value: one.value } }];
			});
			const removedResources = asked.filter((name) => !held.has(name));
			const resources = [...found, ...absent.map((name) => ({ name, version: String(this.#version), aliases: [name] }))];
			if (resources.length + removedResources.length === 0 && !wildcards.has(typeUrl)) return;
			const response = { typeUrl, systemVersionInfo: String(this.#version), nonce: String(++this.#nonce), resources, removedResources };
			call.write(DeltaDiscoveryResponse.fromPartial(response));
		});
		call.on("data", (request: DeltaDiscoveryRequest) => {
			note(stream, request);
			const { initialResourceVersions, resourceNamesSubscribe, resourceNamesUnsubscribe, typeUrl } = request;
			const isFirst = !stream.names.has(typeUrl);
			const isWildcard = isFirst && resourceNamesSubscribe.length === 0;
			if (isWildcard) wildcards.add(typeUrl);
			const names = stream.names.get(typeUrl) ?? new Set();
			stream.names.set(typeUrl, names);
			for (const name of resourceNamesSubscribe) names.add(name);
			for (const name of resourceNamesUnsubscribe) names.delete(name);
			const held = this.#resources.get(typeUrl) ?? new Map<string, Held>();
			const isOf = (name: string) => resourceNamesSubscribe.some((own) => own === name || name.startsWith(`${own}/`));
			const candidates = [...held.keys()].filter((name) => isWildcard || isOf(name));
			const stale = candidates.filter((name) => initialResourceVersions[name] !== held.get(name)?.version);
			const gone = Object.keys(initialResourceVersions).filter((name) => !held.has(name));
			// Of a virtual host that does not exist there is only its name.
			const absent = resourceNamesSubscribe.filter((name) => typeUrl === typeUrls.vhds && name.includes("/") && !held.has(name));
			if (stale.length + gone.length + absent.length > 0 || isWildcard) stream.push(typeUrl, [...stale, ...gone], absent);
		});
	}

	#opened<Q, R>(service: ServedType | "ads", mode: SeenStream["mode"], call: ServerDuplexStream<Q, R>, push: SeenStream["push"]): SeenStream {
		const end = () => {
			stream.isOpen = false;
			call.end();
		};
		call.on("error", end).on("end", end).on("cancelled", end);
		const metadata = call.metadata.getMap();
		const later: SeenStream["push"] = (typeUrl, ...rest) => {
			const delayMs = this.delaysMs.get(xdsTypeOf(typeUrl) as ServedType);
			if (delayMs === undefined) push(typeUrl, ...rest);
			else setTimeout(() => stream.isOpen && push(typeUrl, ...rest), delayMs);
		};
		const stream: SeenStream = { service, mode, names: new Map(), requests: [], refusals: [], metadata, isOpen: true, push: later };
		this.streams.push(stream);
		return stream;
	}
}

/** Clusters and listeners are all that there are, in state of the world. */
const isWhole = (typeUrl: string) => ["cds", "lds"].includes(xdsTypeOf(typeUrl) ?? "");

function note(stream: SeenStream, request: DiscoveryRequest | DeltaDiscoveryRequest): void {
	stream.requests.push(request);
	if (request.errorDetail !== undefined) stream.refusals.push(request.errorDetail.message);
}
