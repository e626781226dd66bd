import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { globSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { type AddressInfo, connect as connectTcp } from "node:net";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { connect, createServer, type Server, type TLSSocket } from "node:tls";
import { fromJson, type Json, registerMessages } from "@weft/xds";
import {
	DeltaDiscoveryRequest,
	DeltaDiscoveryResponse,
	DiscoveryRequest,
	DiscoveryResponse,
} from "@weft/xds/generated/envoy/service/discovery/v3/discovery.ts";
import { allMessages } from "@weft/xds/registry";
import { findEnvoy } from "../../../../scripts/peers-find.mjs";
import { type AdsCall, type AgentFixture, createAgentFixture } from "./agent-fixture.ts";

const envoy = findEnvoy();
const skip = envoy === undefined ? "no Envoy binary: `npm run peers` installs it, or name one in WEFT_ENVOY" : false;

registerMessages(allMessages);

const type = (name: string) => `type.googleapis.com/${name}`;
type SecretApi = "GRPC" | "DELTA_GRPC";
const secret = (name: string, api: SecretApi) => ({
	name,
	sds_config: {
		api_config_source: {
			api_type: api,
			transport_api_version: "V3",
			set_node_on_first_message_only: true,
			grpc_services: [{ envoy_grpc: { cluster_name: "sds-grpc" } }],
		},
		resource_api_version: "V3",
		initial_fetch_timeout: "0s",
	},
});
const tlsContext = (san: string, api: SecretApi) => ({
	tls_certificate_sds_secret_configs: [secret("default", api)],
	combined_validation_context: {
		default_validation_context: { match_typed_subject_alt_names: [{ san_type: "URI", matcher: { exact: san } }] },
		validation_context_sds_secret_config: secret("ROOTCA", api),
	},
});
const spiffe = (sa: string) => `spiffe://cluster.local/ns/default/sa/${sa}`;

const clusterJson = (port: number, api: SecretApi): Json => ({
	"@type": type("envoy.config.cluster.v3.Cluster"),
	name: "outbound|9080||ratings.default.svc.cluster.local",
	type: "STATIC",
	connect_timeout: "2s",
	load_assignment: {
		cluster_name: "ratings",
		endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: "127.0.0.1", port_value: port } } } }] }],
	},
	transport_socket: {
		name: "envoy.transport_sockets.tls",
		typed_config: {
			"@type": type("envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"),
			common_tls_context: tlsContext(spiffe("ratings"), api),
		},
	},
});

const listenerJson = (api: SecretApi): Json => ({
	"@type": type("envoy.config.listener.v3.Listener"),
	name: "virtualInbound",
	address: { socket_address: { address: "127.0.0.1", port_value: 0 } },
	filter_chains: [
		{
			transport_socket: {
				name: "envoy.transport_sockets.tls",
				typed_config: {
					"@type": type("envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"),
					require_client_certificate: true,
					common_tls_context: tlsContext(spiffe("client"), api),
				},
			},
			filters: [
				{
					name: "envoy.filters.network.tcp_proxy",
					typed_config: {
						"@type": type("envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"),
						stat_prefix: "ratings",
						cluster: "outbound|9080||ratings.default.svc.cluster.local",
					},
				},
			],
		},
	],
});

interface Seen {
	readonly peers: Set<string | undefined>;
	readonly nodes: Set<string>;
	readonly rejected: string[];
	readonly accepted: Map<string, number>;
}

/** Answers each type's first request with what the test has for it, and takes note of every ACK and NACK. */
function serveAds({ stream, kind, peer }: AdsCall, resources: ReadonlyMap<string, Json>, seen: Seen): void {
	seen.peers.add(peer);
	stream.on("data", (bytes: Buffer) => {
		const request = kind === "delta" ? DeltaDiscoveryRequest.decode(bytes) : DiscoveryRequest.decode(bytes);
		if (request.node !== undefined) seen.nodes.add(request.node.id);
		if (request.errorDetail !== undefined) seen.rejected.push(request.errorDetail.message);
		else if (request.responseNonce !== "") seen.accepted.set(request.typeUrl, (seen.accepted.get(request.typeUrl) ?? 0) + 1);
		if (request.responseNonce !== "") return;
		const json = resources.get(request.typeUrl);
		const any = json === undefined ? undefined : (fromJson("google.protobuf.Any", json) as { typeUrl: string; value: Uint8Array });
		const nonce = "1";
		if (kind === "delta") {
			const found = any === undefined ? [] : [{ name: nameOf(json), version: "1", resource: any }];
			stream.write(Buffer.from(DeltaDiscoveryResponse.encode(DeltaDiscoveryResponse.create({ typeUrl: request.typeUrl, nonce, resources: found })).finish()));
		} else {
			const found = any === undefined ? [] : [any];
			const response = { typeUrl: request.typeUrl, nonce, versionInfo: "1", resources: found };
			stream.write(Buffer.from(DiscoveryResponse.encode(DiscoveryResponse.create(response)).finish()));
		}
	});
	stream.on("end", () => stream.end());
}

const nameOf = (json: Json | undefined): string =>
	typeof json === "object" && json !== null && "name" in json && typeof json["name"] === "string" ? json["name"] : "";

/** Tries until it holds; the bound is for machines under load, not a measurement. */
async function until<T>(what: string, probe: () => Promise<T | undefined>): Promise<T> {
	const limit = AbortSignal.timeout(20_000);
	while (!limit.aborted) {
		const value = await probe().catch(() => undefined);
		if (value !== undefined) return value;
		await sleep(50);
	}
	return assert.fail(`not reached: ${what}`);
}

for (const [protocol, api] of [
	["delta", "DELTA_GRPC"],
	["sotw", "GRPC"],
] as const) {
	describe(`weft-proxy agent with a real Envoy, ${protocol} ADS and SDS`, { skip }, () => {
		const seen: Seen = { peers: new Set(), nodes: new Set(), rejected: [], accepted: new Map() };
		const resources = new Map<string, Json>();
		let fixture: AgentFixture;
		let upstream: Server;
		let agent: ChildProcess;
		let admin: string;
		let port: number;
		let output = "";

		before(async () => {
			fixture = await createAgentFixture((call) => serveAds(call, resources, seen));
			upstream = await startUpstream(fixture);
			resources.set(type("envoy.config.cluster.v3.Cluster"), clusterJson((upstream.address() as AddressInfo).port, api));
			resources.set(type("envoy.config.listener.v3.Listener"), listenerJson(api));
			const adminFile = join(fixture.directory, "admin");
			const agentArguments = [
				...["--discovery-address", fixture.address, "--root-cert", fixture.rootCertFile, "--token-file", fixture.tokenFile],
				...["--node-id", "sidecar~10.0.0.1~web-1.default~default.svc.cluster.local", "--admin-port", "0", "--secret-ttl", "6s"],
				...["--xds-protocol", protocol, "--envoy", envoy ?? "", "--state-dir", join(fixture.directory, "state")],
				...["--", "-l", "warning", "--concurrency", "1", "--admin-address-path", adminFile],
			];
			agent = spawn(process.execPath, [join(import.meta.dirname, "bin.ts"), ...agentArguments], { stdio: ["ignore", "pipe", "pipe"] });
			for (const pipe of [agent.stdout, agent.stderr]) pipe?.on("data", (text: Buffer) => (output += text.toString()));
			admin = await until("the admin address", async () => (await readFile(adminFile, "utf8")) || undefined);
			port = await until("a warm listener", listenerPort).catch((error: unknown) => assert.fail(`${String(error)}\n${output}`));
		});

		after(async () => {
			if (agent !== undefined && agent.exitCode === null) {
				agent.kill("SIGKILL");
				await new Promise((done) => agent.once("exit", done));
			}
			upstream?.close();
			await fixture?.close();
		});

		const adminJson = async (path: string): Promise<unknown> => (await fetch(`http://${admin}${path}`)).json();

		async function listenerPort(): Promise<number | undefined> {
			const { listener_statuses: statuses = [] } = (await adminJson("/listeners?format=json")) as {
				listener_statuses?: { local_address: { socket_address: { port_value: number } } }[];
			};
			return statuses[0]?.local_address.socket_address.port_value;
		}

		async function stats(filter: string): Promise<ReadonlyMap<string, number>> {
			const { stats: list } = (await adminJson(`/stats?format=json&filter=${filter}`)) as { stats: { name: string; value: number }[] };
			return new Map(list.map(({ name, value }) => [name, value]));
		}

		/** One line through the sidecar to the upstream and back, with the serial of the certificate that the sidecar showed. */
		async function exchange(client: { chainPem: readonly string[]; privateKeyPem: string } | undefined) {
			const shown = client === undefined ? {} : { cert: client.chainPem.join(""), key: client.privateKeyPem };
			const socket = connect({ port, host: "127.0.0.1", ca: fixture.authority.trustBundlePem, checkServerIdentity: () => undefined, ...shown });
			return new Promise<{ answer: string; san: string | undefined; serial: string | undefined }>((done, failed) => {
				socket.on("error", failed);
				socket.on("close", () => failed(new Error("closed without an answer")));
				socket.write("hello\n");
				socket.on("data", (answer: Buffer) => {
					const certificate = socket.getPeerX509Certificate();
					done({ answer: answer.toString(), san: certificate?.subjectAltName, serial: certificate?.serialNumber });
					socket.destroy();
				});
			});
		}

		test("the control plane sees the workload's verified identity and its node", () => {
			assert.deepEqual([...seen.peers], [spiffe("web")]);
			assert.deepEqual([...seen.nodes], ["sidecar~10.0.0.1~web-1.default~default.svc.cluster.local"]);
		});

		test("Envoy accepts everything and rejects nothing", async () => {
			const acknowledged = await until("both acknowledgements", async () => (seen.accepted.size >= 2 ? [...seen.accepted] : undefined));
			assert.deepEqual(new Map(acknowledged), new Map([...resources.keys()].map((typeUrl) => [typeUrl, 1])));
			assert.deepEqual(seen.rejected, []);
			const counters = await stats("update_(success|rejected)");
			assert.ok((counters.get("cluster_manager.cds.update_success") ?? 0) > 0);
			assert.ok((counters.get("listener_manager.lds.update_success") ?? 0) > 0);
			const rejected = [...counters].filter(([name, value]) => name.endsWith("update_rejected") && value > 0);
			assert.deepEqual(rejected, []);
		});

		test("both directions are mutual TLS with the workload's certificate", async () => {
			const { answer, san } = await exchange(await fixture.issue("client"));
			assert.equal(answer, `${spiffe("web")} says hello\n`);
			assert.equal(san, `URI:${spiffe("web")}`);
		});

		test("a client without a certificate, or of another identity, gets nothing", async () => {
			await assert.rejects(exchange(undefined));
			await assert.rejects(exchange(await fixture.issue("stranger")));
		});

		test("plain text gets a TLS alert and nothing else", async () => {
			const received = await new Promise<Buffer>((done) => {
				const chunks: Buffer[] = [];
				const socket = connectTcp(port, "127.0.0.1", () => socket.write("hello\n"));
				socket.on("error", () => undefined);
				socket.on("data", (chunk: Buffer) => chunks.push(chunk));
				socket.on("close", () => done(Buffer.concat(chunks)));
			});
			// Seven octets: an alert record (RFC 8446 §5.1, type 21) of two.
			assert.ok(received.length === 0 || (received[0] === 21 && received.length === 7), received.toString("hex"));
		});

		test("a renewed certificate reaches the running Envoy over SDS, and requests go on", async () => {
			const client = await fixture.issue("client");
			const first = await exchange(client);
			const rotated = await until("another certificate on the listener", async () => {
				const now = await exchange(client);
				return now.serial === first.serial ? undefined : now;
			});
			assert.equal(rotated.answer, `${spiffe("web")} says hello\n`);
			assert.equal(rotated.san, first.san);
		});

		test("SIGTERM ends Envoy and the agent with Envoy's exit code, leaving no socket or key behind", async () => {
			const ended = new Promise<number | null>((done) => agent.once("exit", (code) => done(code)));
			agent.kill("SIGTERM");
			assert.equal(await ended, 0);
			assert.deepEqual(globSync(join(fixture.directory, "state/*")), []);
			assert.doesNotMatch(output, /-----BEGIN/);
		});
	});
}

test("SIGTERM ends an agent that still asks for a bootstrap, and nothing is left behind", async (t) => {
	const asked = Promise.withResolvers<void>();
	const fixture = await createAgentFixture(({ stream }) => stream.on("data", () => asked.resolve()));
	t.after(() => fixture.close());
	const state = join(fixture.directory, "state");
	const agentArguments = [
		...["--discovery-address", fixture.address, "--root-cert", fixture.rootCertFile, "--token-file", fixture.tokenFile, "--state-dir", state],
		...["--node-id", "sidecar~10.0.0.1~web-1.default~default.svc.cluster.local", "--envoy", "/nowhere/envoy"],
	];
	const env = { ...process.env, BOOTSTRAP_XDS_AGENT: "true" };
	const agent = spawn(process.execPath, [join(import.meta.dirname, "bin.ts"), ...agentArguments], { stdio: "ignore", env });
	const ended = new Promise<number | null>((done) => agent.once("exit", (code) => done(code)));
	await asked.promise;
	agent.kill("SIGTERM");
	assert.equal(await ended, 0);
	assert.deepEqual(globSync(join(state, "*")), []);
});

/** Echoes a line with the SPIFFE ID of who sent it, over mutual TLS as `ratings`. */
async function startUpstream(fixture: AgentFixture): Promise<Server> {
	const leaf = await fixture.issue("ratings");
	const ca = fixture.authority.trustBundlePem;
	const options = { cert: leaf.chainPem.join(""), key: leaf.privateKeyPem, ca, requestCert: true, rejectUnauthorized: true };
	const server = createServer(options, (socket: TLSSocket) => {
		const peer = socket.getPeerX509Certificate()?.subjectAltName?.replace("URI:", "");
		socket.on("error", () => undefined);
		socket.on("data", (line: Buffer) => socket.write(`${peer} says ${line.toString()}`));
	});
	await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
	return server;
}
