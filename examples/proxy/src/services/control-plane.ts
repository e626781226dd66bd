import { Server, ServerCredentials, type ServerDuplexStream } from "@grpc/grpc-js";
import { fromJson, messageFns, registerMessages, typeUrls } from "@weft/xds";
import { allMessages } from "@weft/xds/registry";
import { DiscoveryRequest, DiscoveryResponse } from "@weft/xds/generated/envoy/service/discovery/v3/discovery.ts";
import type { AppContext, RunningApp } from "@weft/example-apps";
import { startService } from "./http-service.ts";

type AdsStream = ServerDuplexStream<DiscoveryRequest, DiscoveryResponse>;

const method = {
	path: "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources",
	requestStream: true,
	responseStream: true,
	requestSerialize: (request: DiscoveryRequest) => Buffer.from(DiscoveryRequest.encode(request).finish()),
	requestDeserialize: (bytes: Buffer) => DiscoveryRequest.decode(bytes),
	responseSerialize: (response: DiscoveryResponse) => Buffer.from(DiscoveryResponse.encode(response).finish()),
	responseDeserialize: (bytes: Buffer) => DiscoveryResponse.decode(bytes),
} as const;

/**
 * A control plane in its smallest form: one listener and one cluster over ADS (state of the world). `POST /switch` on
 * PORT sends traffic from the service on FIRST_PORT to the one on SECOND_PORT, and back.
 */
export async function startControlPlane(context: AppContext): Promise<RunningApp> {
	registerMessages(allMessages);
	const { ADS_PORT, FIRST_PORT, LISTENER_PORT, SECOND_PORT } = context.env;
	let version = 1;
	const streams = new Map<AdsStream, Set<string>>();

	const send = (stream: AdsStream, typeUrl: string) => {
		const backend = Number(version % 2 === 1 ? FIRST_PORT : SECOND_PORT);
		const resources: Readonly<Record<string, object>> = { [typeUrls.cds]: cluster(backend), [typeUrls.lds]: listener(Number(LISTENER_PORT)) };
		const resource = resources[typeUrl];
		const any = resource === undefined ? [] : [{ typeUrl, value: encode(typeUrl, resource) }];
		stream.write(DiscoveryResponse.fromPartial({ versionInfo: String(version), resources: any, typeUrl, nonce: `${typeUrl} ${version}` }));
	};

	const server = new Server();
	server.addService(
		{ streamAggregatedResources: method },
		{
			streamAggregatedResources(stream: AdsStream) {
				const asked = new Set<string>();
				streams.set(stream, asked);
				stream.on("data", ({ errorDetail, responseNonce, typeUrl }: DiscoveryRequest) => {
					if (errorDetail !== undefined) context.log(`refused: ${errorDetail.message}`);
					asked.add(typeUrl);
					// Anything else acknowledges or refuses what was sent.
					if (responseNonce === "") send(stream, typeUrl);
				});
				stream.on("end", () => stream.end());
				stream.on("close", () => streams.delete(stream));
				stream.on("error", () => streams.delete(stream));
			},
		},
	);
	await new Promise<void>((resolve, reject) => {
		server.bindAsync(`127.0.0.1:${ADS_PORT}`, ServerCredentials.createInsecure(), (error) => (error ? reject(error) : resolve()));
	});
	const http = await startService(context, ({ method: verb, url }, _, response) => {
		if (verb !== "POST" || url !== "/switch") return void response.writeHead(404).end("POST /switch\n");
		version++;
		for (const [stream, asked] of streams) for (const typeUrl of asked) send(stream, typeUrl);
		response.writeHead(200).end(`version ${version}\n`);
	});
	const close = async () => {
		server.forceShutdown();
		await http.close();
	};
	return { ports: http.ports, close };
}

function encode(typeUrl: string, json: object): Uint8Array {
	const typeName = typeUrl.slice(typeUrl.indexOf("/") + 1);
	return messageFns(typeName)?.encode(fromJson(typeName, json)).finish() ?? new Uint8Array(0);
}

const addressOf = (port: number) => ({ socket_address: { address: "127.0.0.1", port_value: port } });

function cluster(port: number): object {
	return { name: "backend", load_assignment: { cluster_name: "backend", endpoints: [{ lb_endpoints: [{ endpoint: { address: addressOf(port) } }] }] } };
}

function listener(port: number): object {
	const manager = {
		"@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
		stat_prefix: "dynamic",
		route_config: { virtual_hosts: [{ name: "all", domains: ["*"], routes: [{ match: { prefix: "/" }, route: { cluster: "backend" } }] }] },
		http_filters: [{ name: "envoy.filters.http.router", typed_config: { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" } }],
	};
	return { name: "dynamic", address: addressOf(port), filter_chains: [{ filters: [{ name: "http", typed_config: manager }] }] };
}
