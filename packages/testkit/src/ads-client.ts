import { Client, credentials } from "@grpc/grpc-js";
import { typeUrls, type XdsType, xdsTypeOf } from "@weft/xds";
import { DeltaDiscoveryRequest, DeltaDiscoveryResponse } from "@weft/xds/generated/envoy/service/discovery/v3/discovery.ts";

/** A delta ADS client that keeps what it is sent and acknowledges it, or refuses it by `refuse`. */
export interface AdsClient {
	readonly resources: ReadonlyMap<XdsType, ReadonlyMap<string, Uint8Array>>;
	subscribe(type: XdsType, names?: readonly string[]): void;
	/** Resolves when `done` holds of the resources; checked after each response. */
	until(done: (resources: AdsClient["resources"]) => boolean): Promise<void>;
	/** From now on every response of this type is refused with this message; undefined: accepted again. */
	refuse(type: XdsType, message: string | undefined): void;
	close(): void;
}

export interface AdsNode {
	readonly id: string;
	readonly metadata: Readonly<Record<string, unknown>>;
}

/** A sidecar's node as Istio's agent sends it. */
export function sidecarNode(pod: string, namespace: string, ip = "10.0.0.1"): AdsNode {
	return {
		id: `sidecar~${ip}~${pod}.${namespace}~${namespace}.svc.cluster.local`,
		metadata: { NAME: pod, NAMESPACE: namespace, INSTANCE_IPS: ip, ISTIO_VERSION: "1.30.3", LABELS: {}, SERVICE_ACCOUNT: "default", CLUSTER_ID: "Kubernetes" },
	};
}

export function connectAds(address: string, node: AdsNode): AdsClient {
	const client = new Client(address, credentials.createInsecure(), { "grpc.max_receive_message_length": 64 << 20 });
	const stream = client.makeBidiStreamRequest(
		"/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources",
		(request: object) => Buffer.from(DeltaDiscoveryRequest.encode(DeltaDiscoveryRequest.fromPartial(request)).finish()),
		(bytes: Buffer) => DeltaDiscoveryResponse.decode(bytes),
	);
	const resources = new Map<XdsType, Map<string, Uint8Array>>();
	const refusals = new Map<XdsType, string>();
	const waiters = new Set<() => void>();
	let first = true;
	let failure: Error | undefined;
	// As Envoy does: a cluster's endpoints are asked for as soon as the cluster is known.
	const asked = new Set<string>();
	const subscribeEndpoints = (names: readonly string[]) => {
		const fresh = names.filter((name) => name.startsWith("outbound|") && !asked.has(name));
		for (const name of fresh) asked.add(name);
		if (fresh.length > 0) stream.write({ typeUrl: typeUrls.eds, resourceNamesSubscribe: fresh });
	};
	stream.on("error", (error: Error) => {
		failure = error;
		for (const wake of [...waiters]) wake();
	});
	stream.on("data", (response: DeltaDiscoveryResponse) => {
		const type = xdsTypeOf(response.typeUrl);
		if (!type) return;
		const refusal = refusals.get(type);
		stream.write({
			typeUrl: response.typeUrl,
			responseNonce: response.nonce,
			...(refusal === undefined ? {} : { errorDetail: { code: 13, message: refusal } }),
		});
		if (refusal === undefined) {
			const known = resources.get(type) ?? new Map<string, Uint8Array>();
			for (const { name, resource } of response.resources) known.set(name, resource?.value ?? new Uint8Array());
			for (const name of response.removedResources) known.delete(name);
			resources.set(type, known);
			if (type === "cds") subscribeEndpoints(response.resources.map((r) => r.name));
		}
		for (const wake of [...waiters]) wake();
	});
	return {
		resources,
		subscribe(type, names = []) {
			stream.write({ ...(first ? { node } : {}), typeUrl: typeUrls[type], resourceNamesSubscribe: names });
			first = false;
		},
		until: (done) =>
			new Promise((resolve, reject) => {
				const look = () => {
					if (failure) reject(failure);
					else if (done(resources)) resolve();
					else return;
					waiters.delete(look);
				};
				waiters.add(look);
				look();
			}),
		refuse(type, message) {
			if (message === undefined) refusals.delete(type);
			else refusals.set(type, message);
		},
		close: () => client.close(),
	};
}
