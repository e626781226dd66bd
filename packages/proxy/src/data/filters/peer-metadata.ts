import type { NodeInfo } from "../../config/runtime-config.ts";
import { type IstioPeer, peerOfNode } from "../stats/istio-metrics.ts";

/**
 * Istio's peer metadata over HTTP (io.istio.http.peer_metadata, method `istio_headers`): a sidecar tells the other who its
 * workload is, as a base64 google.protobuf.Struct, so that metrics name the workload and not only its service account.
 */
export const peerMetadataHeader = "x-envoy-peer-metadata";
export const peerMetadataIdHeader = "x-envoy-peer-metadata-id";

/** Longest header value that is looked at, in characters; longer ones are dropped like malformed ones. */
const valueLengthMax = 8192;
/** Peers remembered; with more than that all are forgotten. */
const peersMax = 1000;
const depthMax = 4;

const toldFields = ["NAME", "NAMESPACE", "OWNER", "WORKLOAD_NAME", "CLUSTER_ID"] as const;
const toldLabels = ["app", "version", "service.istio.io/canonical-name", "service.istio.io/canonical-revision"] as const;

type Fields = Readonly<Record<string, unknown>>;

/** The header's value for this node. */
export function encodePeerMetadata({ metadata }: NodeInfo): string {
	const labels = metadata["LABELS"] as Fields | undefined;
	const told = pick(metadata, toldFields);
	return encodeStruct({ ...told, LABELS: pick(labels ?? {}, toldLabels) }).toString("base64");
}

function pick(from: Fields, names: readonly string[]): Record<string, string> {
	const out: Record<string, string> = {};
	for (const name of names) if (Object.hasOwn(from, name) && typeof from[name] === "string") out[name] = from[name];
	return out;
}

// google.protobuf.Struct: fields = 1 (map entry: key = 1, value = 2); Value: string_value = 3, struct_value = 5.

function encodeStruct(fields: Fields): Buffer {
	const entries = Object.keys(fields)
		.sort()
		.map((key) => {
			const value = fields[key];
			const encoded = typeof value === "string" ? delimited(0x1a, Buffer.from(value)) : delimited(0x2a, encodeStruct(value as Fields));
			return delimited(0x0a, Buffer.concat([delimited(0x0a, Buffer.from(key)), delimited(0x12, encoded)]));
		});
	return Buffer.concat(entries);
}

function delimited(tag: number, bytes: Buffer): Buffer {
	const head = [tag];
	let length = bytes.length;
	for (; length > 127; length = Math.floor(length / 128)) head.push((length % 128) | 128);
	head.push(length);
	return Buffer.concat([Buffer.from(head), bytes]);
}

/** Length-delimited fields of a message by number; undefined when the bytes are not one. */
function readFields(bytes: Uint8Array): { readonly number: number; readonly value: Uint8Array }[] | undefined {
	const out: { number: number; value: Uint8Array }[] = [];
	let at = 0;
	const varint = (): number => {
		let value = 0;
		for (let shift = 0; shift < 32; shift += 7) {
			const byte = bytes[at++];
			if (byte === undefined) return -1;
			value += (byte & 127) * 2 ** shift;
			if (byte < 128) return value;
		}
		return -1;
	};
	while (at < bytes.length) {
		const tag = varint();
		const wire = tag & 7;
		if (tag < 0) return undefined;
		if (wire === 0 && varint() < 0) return undefined;
		else if (wire === 1) at += 8;
		else if (wire === 5) at += 4;
		else if (wire === 2) {
			const length = varint();
			if (length < 0 || at + length > bytes.length) return undefined;
			out.push({ number: tag >>> 3, value: bytes.subarray(at, at + length) });
			at += length;
		} else if (wire !== 0) return undefined;
	}
	return at === bytes.length ? out : undefined;
}

function decodeStruct(bytes: Uint8Array, depth: number): Record<string, unknown> | undefined {
	const entries = depth > depthMax ? undefined : readFields(bytes);
	if (entries === undefined) return undefined;
	const out: Record<string, unknown> = Object.create(null) as Record<string, unknown>;
	for (const { value } of entries) {
		const parts = readFields(value);
		const key = parts?.find((p) => p.number === 1)?.value;
		const content = parts?.find((p) => p.number === 2)?.value;
		const inner = content && readFields(content)?.[0];
		if (key === undefined || inner === undefined) continue;
		if (inner.number === 3) out[text(key)] = text(inner.value);
		else if (inner.number === 5) out[text(key)] = decodeStruct(inner.value, depth + 1);
	}
	return out;
}

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString("utf8");

/** Reads what peers tell; the same text is read once. Undefined for a value that is not such a Struct. */
export function createPeerReader(): (value: string) => IstioPeer | undefined {
	const peers = new Map<string, IstioPeer | undefined>();
	return (value) => {
		if (value.length > valueLengthMax) return undefined;
		if (peers.has(value)) return peers.get(value);
		const metadata = decodeStruct(Buffer.from(value, "base64"), 0);
		const locality = { region: "", zone: "", subZone: "" };
		const peer = metadata === undefined ? undefined : peerOfNode({ id: "", cluster: "", metadata, locality }, "");
		if (peers.size >= peersMax) peers.clear();
		peers.set(value, peer);
		return peer;
	};
}

/** One side of the exchange, shared by all connection managers of a worker. */
export interface PeerExchange {
	readonly id: string;
	readonly value: string;
	readonly read: (value: string) => IstioPeer | undefined;
}

const exchanges = new WeakMap<NodeInfo, PeerExchange>();

export function peerExchangeOf(node: NodeInfo): PeerExchange {
	let exchange = exchanges.get(node);
	if (exchange === undefined) exchanges.set(node, (exchange = { id: node.id, value: encodePeerMetadata(node), read: createPeerReader() }));
	return exchange;
}

interface Headers {
	get(name: string): string | undefined;
	set(name: string, value: string): void;
	remove(name: string): void;
}

/** Tells this workload to the next sidecar; what the application said in its place is overwritten. */
export function tellPeer({ id, value }: PeerExchange, request: Headers): void {
	request.set(peerMetadataIdHeader, id);
	request.set(peerMetadataHeader, value);
}

/** Takes what the other sidecar told off the request, so that no application sees it. */
export function takePeer({ read }: PeerExchange, request: Headers): IstioPeer | undefined {
	const value = request.get(peerMetadataHeader);
	if (value === undefined) return undefined;
	request.remove(peerMetadataHeader);
	request.remove(peerMetadataIdHeader);
	return read(value);
}
