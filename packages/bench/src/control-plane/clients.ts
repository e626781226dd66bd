// Many delta ADS clients in one process, each with a connection of its own. They acknowledge everything, look at
// nothing but names, and remember when and how much came.
import { Client, credentials } from "@grpc/grpc-js";
import { DeltaDiscoveryRequest, DeltaDiscoveryResponse } from "@weft/xds/generated/envoy/service/discovery/v3/discovery.ts";
import { typeUrls, type XdsType, xdsTypeOf } from "@weft/xds";
import type { FromClients, ToClients } from "./protocol.ts";
import { endpointAddress, namespaceOf } from "./workload.ts";

const [address = "", count = "0", kind = ""] = process.argv.slice(2);
/** Clients that take virtual hosts one by one. */
const vhds = kind === "vhds";
const tell = (message: FromClients) => process.send?.(message);
let acks: { client: number; type: string; atMs: number; bytes: number }[] = [];
let configured = 0;

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
	const client = new Client(address, credentials.createInsecure(), { "grpc.max_receive_message_length": 256 << 20, "grpc.use_local_subchannel_pool": 1 });
	const path = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";
	const stream = client.makeBidiStreamRequest(
		path,
		(request: object) => Buffer.from(DeltaDiscoveryRequest.encode(DeltaDiscoveryRequest.fromPartial(request)).finish()),
		(bytes: Buffer) => bytes,
	);
	const missing = new Set<XdsType>(["cds", "eds", "lds", "rds", ...(vhds ? (["vhds"] as const) : [])]);
	let endpoints = 0;
	let wanted = Number.POSITIVE_INFINITY;
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
		if (type === "cds" && missing.has("cds")) {
			const subscribe = names.filter((n) => n.startsWith("outbound|"));
			wanted = subscribe.length;
			stream.write({ typeUrl: typeUrls.eds, resourceNamesSubscribe: subscribe });
			stream.write({ typeUrl: typeUrls.lds });
		}
		if (type === "eds") endpoints += names.length;
		if (type === "lds" && missing.has("lds")) stream.write({ typeUrl: typeUrls.rds, resourceNamesSubscribe: ["80"] });
		if (vhds && type === "rds" && missing.has("rds")) stream.write({ typeUrl: typeUrls.vhds, resourceNamesSubscribe: ["80"] });
		if (type !== "eds" || endpoints >= wanted) missing.delete(type);
		if (missing.size === 0 && endpoints !== Number.NEGATIVE_INFINITY) {
			endpoints = Number.NEGATIVE_INFINITY;
			if (++configured === Number(count)) tell({ kind: "configured", atMs: Date.now() });
		}
	});
	stream.write({ node: node(i), typeUrl: typeUrls.cds });
}

process.on("message", (message: ToClients) => {
	if (message.kind === "report") tell({ kind: "report", acks });
	acks = [];
});

for (let i = 0; i < Number(count); i++) connect(i);
