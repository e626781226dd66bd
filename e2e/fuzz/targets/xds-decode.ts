import type { MessageFns } from "@weft/xds";
import { Cluster } from "@weft/xds/generated/envoy/config/cluster/v3/cluster.ts";
import { TypedExtensionConfig } from "@weft/xds/generated/envoy/config/core/v3/extension.ts";
import { ClusterLoadAssignment } from "@weft/xds/generated/envoy/config/endpoint/v3/endpoint.ts";
import { Listener } from "@weft/xds/generated/envoy/config/listener/v3/listener.ts";
import { RouteConfiguration } from "@weft/xds/generated/envoy/config/route/v3/route.ts";
import { VirtualHost } from "@weft/xds/generated/envoy/config/route/v3/route_components.ts";
import { Secret } from "@weft/xds/generated/envoy/extensions/transport_sockets/tls/v3/secret.ts";
import { DeltaDiscoveryResponse, DiscoveryResponse } from "@weft/xds/generated/envoy/service/discovery/v3/discovery.ts";
import {
	type DecodeEnvironment,
	decodeAssignment,
	decodeCluster,
	type Decoded,
	decodeDiscoveredHost,
	decodeExtensionConfig,
	decodeListener,
	decodeRouteTable,
	decodeSecret,
	registerImplemented,
} from "../../../packages/proxy/src/config/decode/index.ts";
import type { RouteTable } from "../../../packages/proxy/src/config/routes.ts";
import { RuntimeValues } from "../../../packages/proxy/src/config/runtime-values.ts";
import { createRequestView } from "../../../packages/proxy/src/data/headers/headers-view.ts";
import { createConnectionInfo, createStreamInfo } from "../../../packages/proxy/src/data/log/stream-info.ts";
import { chooseCluster, compileRouteTable, matchTable } from "../../../packages/proxy/src/data/match/route-table.ts";
import { check } from "../invariants.ts";

registerImplemented();

const environment: DecodeEnvironment = {
	readFile(path) {
		throw new Error(`no file ${path}`);
	},
	variable: () => undefined,
};

function decoder<T, V>(fns: MessageFns<T>, decode: (message: T) => Decoded<V>, use?: (value: V) => void): (bytes: Buffer) => void {
	return (bytes) => {
		let message: T;
		try {
			message = fns.decode(bytes);
		} catch {
			// Bytes that are no protobuf: the stream says so of the resource.
			return;
		}
		const { value, errors } = decode(message);
		check((value === undefined) === errors.length > 0, `${errors.length} errors and ${value === undefined ? "no" : "a"} value`);
		if (value === undefined) return;
		// Workers get it by a structured clone.
		structuredClone(value);
		use?.(value);
	};
}

const inputs = { environment: { hostname: "h", env: {}, nowMs: () => 0 }, hash64: (text: string) => BigInt(text.length), runtime: new RuntimeValues() };
const request = createRequestView({ path: "/shop/a?q=1", authority: "shop:80", headers: { "user-agent": "curl/8", cookie: "a=b" } });
const info = createStreamInfo(createConnectionInfo({ remoteAddress: "10.0.0.1:1", localAddress: "10.0.0.2:2" }));
info.request = request;

/** As a worker has it: what cannot be compiled is reported, the rest serves requests. */
function useTable(table: RouteTable): void {
	const { value } = compileRouteTable(table, inputs);
	const route = matchTable(value, request, () => 0, info);
	if (route?.action.kind === "route") chooseCluster(route.action, request, () => 0, info);
}

function unwrapped<T>(fns: MessageFns<T>): (bytes: Buffer) => void {
	return (bytes) => {
		try {
			fns.decode(bytes);
		} catch (error) {
			check(error instanceof Error, "no error");
		}
	};
}

/** In the order of the first byte of an input. New ones go to the end, as the corpus counts on it. */
const decoders: readonly ((bytes: Buffer) => void)[] = [
	decoder(Listener, (message) => decodeListener(message, environment)),
	decoder(Cluster, (message) => decodeCluster(message, environment)),
	decoder(RouteConfiguration, (message) => decodeRouteTable(message, environment), useTable),
	decoder(ClusterLoadAssignment, decodeAssignment),
	decoder(Secret, (message) => decodeSecret(message, environment)),
	decoder(TypedExtensionConfig, (message) => decodeExtensionConfig(message, environment)),
	decoder(VirtualHost, (message) => decodeDiscoveredHost("table/host", message, 4096, environment)),
	unwrapped(DiscoveryResponse),
	unwrapped(DeltaDiscoveryResponse),
];

/** The kind of resource, then its bytes: whatever is wrong with it is an error in the result, never an exception. */
export function fuzz(data: Buffer): void {
	if (data.length > 0) decoders[(data[0] as number) % decoders.length]?.(data.subarray(1));
}
