// Many delta ADS clients in one process, each with a connection of its own. They acknowledge everything, look at
// nothing but names, and remember when and how much came.
import { Client, credentials } from "@grpc/grpc-js";
import { DeltaDiscoveryRequest, DeltaDiscoveryResponse } from "@weft/xds/generated/envoy/service/discovery/v3/discovery.ts";
import { typeUrls, type XdsType, xdsTypeOf } from "@weft/xds";
import type { FromClients, ToClients } from "./protocol.ts";
import { edsClusterCountOf, endpointAddress, namespaceOf } from "./workload.ts";

const [address = "", count = "0", services = "0", kind = ""] = process.argv.slice(2);
const clusters = edsClusterCountOf(Number(services));
/** Clients that take virtual hosts one by one. */
const vhds = kind === "vhds";
const tell = (message: FromClients) => process.send?.(message);
let acks: { client: number; type: string; atMs: number; bytes: number }[] = [];
let configured = 0;

/** Of a stream of HTTP/2 in Envoy 1.40; grpc-js takes it for the connection as well, where Envoy has half as much again. */
const envoyWindowBytes = 16 << 20;

function node(i: number) {
	const ip = endpointAddress(i, 0);
	const namespace = namespaceOf(i);
	const labels = { app: `svc-${i}`, version: "v1", "security.istio.io/tlsMode": "istio" };
	const metadata = {
		NAME: `svc-${i}-0`,
		NAMESPACE: namespace,
		INSTANCE_IPS: ip,
		LABELS: labels,
		CLUSTER_ID: "Kubernetes",
		SERVICE_ACCOUNT: `svc-${i}`,
		ISTIO_VERSION: "1.30.3",
		...(vhds ? { VHDS: "true" } : {}),
	};
	return { id: `sidecar~${ip}~svc-${i}-0.${namespace}~${namespace}.svc.cluster.local`, cluster: `svc-${i}.${namespace}`, metadata };
}

function connect(i: number): void {
	const client = new Client(address, credentials.createInsecure(), {
		"grpc.max_receive_message_length": 256 << 20,
		"grpc.use_local_subchannel_pool": 1,
		"grpc-node.flow_control_window": envoyWindowBytes,
	});
	const path = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";
	const stream = client.makeBidiStreamRequest(
		path,
		(request: object) => Buffer.from(DeltaDiscoveryRequest.encode(DeltaDiscoveryRequest.fromPartial(request)).finish()),
		(bytes: Buffer) => bytes,
	);
	const missing = new Set<XdsType>(["lds", "rds", ...(vhds ? (["vhds"] as const) : [])]);
	/** EDS clusters that came, and assignments that are still to come. */
	const known = new Set<string>();
	const awaited = new Set<string>();
	let listens = false;
	let isConfigured = false;
	const subscribe = (type: XdsType, ...names: string[]) => stream.write({ typeUrl: typeUrls[type], resourceNamesSubscribe: names });
	stream.on("error", (error: Error) => {
		console.error(`client ${i}: ${error.message}`);
		process.exit(1);
	});
	stream.on("data", (bytes: Buffer) => {
		const response = DeltaDiscoveryResponse.decode(bytes);
		const type = xdsTypeOf(response.typeUrl);
		if (!type) return;
		stream.write({ typeUrl: response.typeUrl, responseNonce: response.nonce });
		acks.push({ client: i, type, atMs: Date.now(), bytes: bytes.length });
		const names = response.resources.map((r) => r.name);
		// As Envoy does: each response's new clusters are asked for at once, and listeners once the first ones have their endpoints.
		if (type === "cds") {
			const added = names.filter((name) => name.startsWith("outbound|") && !known.has(name));
			for (const name of added) {
				known.add(name);
				awaited.add(name);
			}
			if (added.length > 0) subscribe("eds", ...added);
		}
		if (type === "eds") for (const name of names) awaited.delete(name);
		if (type === "eds" && awaited.size === 0 && !listens) {
			listens = true;
			subscribe("lds");
		}
		if (type === "lds" && missing.has("lds")) subscribe("rds", "80");
		if (vhds && type === "rds" && missing.has("rds")) subscribe("vhds", "80");
		if (isConfigured) return;
		missing.delete(type);
		isConfigured = missing.size === 0 && known.size === clusters && awaited.size === 0;
		if (isConfigured && ++configured === Number(count)) tell({ kind: "configured", atMs: Date.now() });
	});
	stream.write({ node: node(i), typeUrl: typeUrls.cds });
}

process.on("message", (message: ToClients) => {
	if (message.kind === "report") tell({ kind: "report", acks });
	acks = [];
});

process.once("disconnect", () => process.exit(0));

for (let i = 0; i < Number(count); i++) connect(i);
