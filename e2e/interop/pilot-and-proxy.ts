import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, request, type Server as HttpServer } from "node:http";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import type { AnyConfig } from "@weft/api";
import { createStore } from "@weft/galley";
import { createDiscovery } from "@weft/pilot";
import { createLogger, systemClock } from "@weft/runtime";
import { adsService, requestBytesMax } from "@weft/xds/server";
import { Registry } from "prom-client";
import { findEnvoy } from "../../scripts/peers-find.mjs";

// Pilot in this process, two versions of an application, and a proxy beside them whose HTTP proxy port is the way in:
// what a proxy makes of a push is then one call away.

const envoy = process.env["WEFT_ENVOY"] ?? findEnvoy();
const noEnvoy = envoy === undefined ? "no Envoy here: npm run peers" : false;
const weft = [process.execPath, join(import.meta.dirname, "../../packages/proxy/src/main.ts")];
export const namespace = "default";
export const hostOf = (name: string) => `${name}.${namespace}.svc.cluster.local`;

export interface Peer {
	readonly name: string;
	readonly command: readonly string[];
	readonly api: "DELTA_GRPC" | "GRPC";
	readonly metadata: Readonly<Record<string, string>>;
	/** Whether it is to get virtual hosts one by one. */
	readonly oneByOne: boolean;
	readonly skip: string | false;
}

const stock = [envoy ?? "", "--use-dynamic-base-id", "--concurrency", "1", "--log-level", "error"];
export const peers: readonly Peer[] = [
	{ name: "weft-proxy, which announces it itself", command: weft, api: "DELTA_GRPC", metadata: {}, oneByOne: true, skip: false },
	{ name: "Envoy with VHDS in its metadata", command: stock, api: "DELTA_GRPC", metadata: { VHDS: "true" }, oneByOne: true, skip: noEnvoy },
	{ name: "Envoy that says nothing", command: stock, api: "DELTA_GRPC", metadata: {}, oneByOne: false, skip: noEnvoy },
	{ name: "Envoy with the state of the world, which cannot", command: stock, api: "GRPC", metadata: { VHDS: "true" }, oneByOne: false, skip: noEnvoy },
];

export function object(kind: string, name: string, spec: object): AnyConfig {
	const metadata = { name, namespace, labels: {}, annotations: {}, creationTimestamp: "2026-01-01T00:00:00Z" };
	return { apiVersion: "networking.istio.io/v1", kind, metadata, spec } as unknown as AnyConfig;
}

export const freePort = async () => {
	const server = createTcpServer().listen(0, "127.0.0.1");
	await once(server, "listening");
	const { port } = server.address() as AddressInfo;
	server.close();
	await once(server, "close");
	return port;
};

/** Pilot on a port, two versions of an application, and a count of what the one client was sent. */
export async function startMesh() {
	const backends = await Promise.all(["v1", "v2"].map(startBackend));
	const store = createStore();
	const abort = new AbortController();
	const logger = createLogger({ level: "none" });
	const discovery = createDiscovery({
		store,
		// Nobody here has a certificate.
		meshConfig: () => ({ enableAutoMtls: false }),
		clusterId: "Kubernetes",
		clock: systemClock,
		logger,
		registry: new Registry(),
		signal: abort.signal,
		debounceQuietMs: 10,
		// A storm of edits is many pushes.
		debounceCapMs: 100,
	});
	const sent: { readonly type: string; readonly bytes: number }[] = [];
	const refusals: string[] = [];
	const server = new Server({ "grpc.max_receive_message_length": requestBytesMax, "grpc.max_send_message_length": -1 });
	const delegate: typeof discovery.delegate = {
		...discovery.delegate,
		sent: (client, type, resources, bytes) => {
			sent.push({ type, bytes });
			discovery.delegate.sent?.(client, type, resources, bytes);
		},
		nacked: (client, type, message, names) => {
			refusals.push(`${type}: ${message}`);
			discovery.delegate.nacked?.(client, type, message, names);
		},
	};
	const { definition, implementation } = adsService({ delegate, clock: systemClock, logger, identify: () => undefined });
	server.addService(definition, implementation);
	const port = await new Promise<number>((resolve, reject) =>
		server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) => (error ? reject(error) : resolve(bound))),
	);
	const service = (name: string, extra: object = {}) =>
		object("ServiceEntry", name, {
			hosts: [hostOf(name)],
			addresses: ["240.1.1.1"],
			ports: [{ number: 80, name: "http", protocol: "HTTP" }],
			location: "MESH_INTERNAL",
			resolution: "STATIC",
			endpoints: backends.map((backend, i) => ({
				address: "127.0.0.1",
				ports: { http: (backend.address() as AddressInfo).port },
				labels: { version: `v${i + 1}` },
			})),
			...extra,
		});
	return {
		port,
		store,
		discovery,
		sent,
		refusals,
		service,
		async apply(upsert: readonly AnyConfig[], remove: readonly AnyConfig[] = []) {
			sent.length = 0;
			store.apply({
				source: "test",
				upsert: [...upsert],
				remove: remove.map(({ kind, metadata }) => ({ kind, namespace: metadata.namespace, name: metadata.name })),
			});
			const converged = await discovery.converged(AbortSignal.timeout(20_000));
			assert.deepEqual(converged.pending, []);
		},
		stop() {
			abort.abort();
			server.forceShutdown();
			for (const backend of backends) backend.close();
		},
	};
}

async function startBackend(version: string): Promise<HttpServer> {
	const server = createServer((_, response) => response.end(version)).listen(0, "127.0.0.1");
	await once(server, "listening");
	return server;
}

export async function startPeer({ command, api, metadata }: Peer, adsPort: number, proxyPort: number) {
	const folder = mkdtempSync(join(tmpdir(), "weft-vhds-"));
	const ads = { ads: {}, resource_api_version: "V3", initial_fetch_timeout: "0s" };
	const endpoint = { endpoint: { address: { socket_address: { address: "127.0.0.1", port_value: adsPort } } } };
	const http2 = { "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions", explicit_http_config: { http2_protocol_options: {} } };
	const bootstrap = {
		node: {
			id: `sidecar~127.0.0.1~client.${namespace}~${namespace}.svc.cluster.local`,
			cluster: "client",
			metadata: { NAMESPACE: namespace, INTERCEPTION_MODE: "NONE", HTTP_PROXY_PORT: String(proxyPort), WEFT_LOCAL: "{}", ...metadata },
		},
		admin: { address: { socket_address: { address: "127.0.0.1", port_value: 0 } } },
		dynamic_resources: {
			ads_config: { api_type: api, transport_api_version: "V3", grpc_services: [{ envoy_grpc: { cluster_name: "xds-grpc" } }] },
			cds_config: ads,
			lds_config: ads,
		},
		static_resources: {
			clusters: [
				{
					name: "xds-grpc",
					type: "STATIC",
					connect_timeout: "1s",
					load_assignment: { cluster_name: "xds-grpc", endpoints: [{ lb_endpoints: [endpoint] }] },
					typed_extension_protocol_options: { "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2 },
				},
			],
		},
	};
	writeFileSync(join(folder, "bootstrap.json"), JSON.stringify(bootstrap));
	const [program = "", ...args] = command;
	const child: ChildProcess = spawn(program, [...args, "-c", join(folder, "bootstrap.json")], { stdio: "inherit" });
	return async () => {
		if (child.exitCode === null && child.signalCode === null) {
			child.kill("SIGKILL");
			await once(child, "exit");
		}
		rmSync(folder, { recursive: true, force: true });
	};
}

/** Through the proxy's HTTP proxy port: the body, or the status where it is no 200. */
export function call(proxyPort: number, host: string, path = "/"): Promise<string> {
	return new Promise((resolve, reject) => {
		const sending = request({ host: "127.0.0.1", port: proxyPort, path: `http://${host}${path}`, headers: { host }, agent: false }, (response) => {
			let body = "";
			response.on("data", (chunk: Buffer) => (body += chunk.toString()));
			response.on("end", () => resolve(response.statusCode === 200 ? body : `${response.statusCode} ${body.slice(0, 80)}`.trim()));
		});
		sending.on("error", reject);
		sending.end();
	});
}
