import { BinaryWriter } from "@bufbuild/protobuf/wire";
import { typeUrls, type XdsType } from "../type-urls.ts";
import type { EncodedResource } from "./resource.ts";

// Responses are put together from bytes that were encoded once: only the few fields in front of a resource are
// written here, and they too are cached. Field numbers: envoy/service/discovery/v3/discovery.proto.

const deltaHeads = new WeakMap<EncodedResource, Uint8Array>();
const sotwHeads = new WeakMap<EncodedResource, Uint8Array>();

function varintLength(n: number): number {
	let length = 1;
	for (let rest = n; rest > 127; rest = Math.floor(rest / 128)) length++;
	return length;
}

/** `Any{type_url, value}` up to the value's bytes, which end the message. */
function anyHead(writer: BinaryWriter, type: XdsType, bytes: number): BinaryWriter {
	return writer.uint32(10).string(typeUrls[type]).uint32(18).uint32(bytes);
}

function anyLength(type: XdsType, bytes: number): number {
	const url = typeUrls[type].length;
	return 1 + varintLength(url) + url + 1 + varintLength(bytes) + bytes;
}

/** `resources` of a DeltaDiscoveryResponse: Resource{version = 1, name = 3, resource = 2}, the Any's value last. */
function deltaHead(type: XdsType, resource: EncodedResource): Uint8Array {
	let head = deltaHeads.get(resource);
	if (!head) {
		const inner = new BinaryWriter().uint32(10).string(resource.version).uint32(26).string(resource.name).finish();
		const any = anyLength(type, resource.bytes.length);
		const length = inner.length + 1 + varintLength(any) + any;
		const writer = new BinaryWriter().uint32(18).uint32(length).raw(inner).uint32(18).uint32(any);
		head = anyHead(writer, type, resource.bytes.length).finish();
		deltaHeads.set(resource, head);
	}
	return head;
}

/** `resources` of a DiscoveryResponse: the Any alone. */
function sotwHead(type: XdsType, resource: EncodedResource): Uint8Array {
	let head = sotwHeads.get(resource);
	if (!head) {
		const writer = new BinaryWriter().uint32(18).uint32(anyLength(type, resource.bytes.length));
		head = anyHead(writer, type, resource.bytes.length).finish();
		sotwHeads.set(resource, head);
	}
	return head;
}

/** A response in pieces, for one gathering write: all but the first belong to every client that is sent them. */
export interface WireMessage {
	readonly pieces: readonly Uint8Array[];
	/** Bytes of all pieces. */
	readonly length: number;
}

/** A run of resources as it is sent, in one piece. */
interface Segment {
	readonly resources: readonly EncodedResource[];
	readonly bytes: Uint8Array;
}

/** Larger resources go out as they are: to copy them costs more than a piece of their own. */
const copiedBytesMax = 16 << 10;
const segmentBytesMax = 128 << 10;
/** Lists that differ begin alike, so a resource may be the first of several segments; the newest are kept. */
const segmentsMax = 4;

type HeadOf = (type: XdsType, resource: EncodedResource) => Uint8Array;

/**
 * Resources as pieces, shared by all clients that are sent the same ones in a row. Where a segment ends is decided by its
 * last resource alone, so that lists which differ in a few places (each proxy's inbound clusters) share all other segments.
 */
function createSegments(headOf: HeadOf): (type: XdsType, resources: readonly EncodedResource[], out: Uint8Array[]) => void {
	const known = new WeakMap<EncodedResource, Segment[]>();
	const segmentFrom = (type: XdsType, resources: readonly EncodedResource[], from: number, to: number): Uint8Array => {
		const first = resources[from] as EncodedResource;
		const candidates = known.get(first) ?? [];
		const found = candidates.find((segment) => isRun(segment.resources, resources, from, to));
		if (found) return found.bytes;
		const run = resources.slice(from, to);
		const bytes = Buffer.concat(run.flatMap((resource) => [headOf(type, resource), resource.bytes]));
		if (candidates.length >= segmentsMax) candidates.shift();
		candidates.push({ resources: run, bytes });
		known.set(first, candidates);
		return bytes;
	};
	return (type, resources, out) => {
		for (let from = 0; from < resources.length; ) {
			const first = resources[from] as EncodedResource;
			if (first.bytes.length > copiedBytesMax) {
				out.push(headOf(type, first), first.bytes);
				from++;
				continue;
			}
			const to = segmentEnd(resources, from);
			out.push(segmentFrom(type, resources, from, to));
			from = to;
		}
	};
}

function segmentEnd(resources: readonly EncodedResource[], from: number): number {
	let bytes = 0;
	for (let i = from; i < resources.length; i++) {
		const resource = resources[i] as EncodedResource;
		bytes += resource.bytes.length;
		if (resource.bytes.length > copiedBytesMax || bytes > segmentBytesMax) return Math.max(i, from + 1);
		if (endsSegment(resource)) return i + 1;
	}
	return resources.length;
}

/** One resource in 32, by its hash. */
const endsSegment = ({ version }: EncodedResource): boolean => (version.charCodeAt(0) + 7 * version.charCodeAt(1)) % 32 === 0;

function isRun(run: readonly EncodedResource[], resources: readonly EncodedResource[], from: number, to: number): boolean {
	if (run.length !== to - from) return false;
	for (let i = 0; i < run.length; i++) if (run[i] !== resources[from + i]) return false;
	return true;
}

/** Smaller responses are kept whole. */
const keptBytesMax = 8 << 10;
/** By their first resource, the last small responses: in a push all clients of a class are sent the very same. */
const keptResponses = new WeakMap<EncodedResource, { readonly parts: ResponseParts; readonly message: WireMessage }>();

const deltaSegments = createSegments(deltaHead);
const sotwSegments = createSegments(sotwHead);

let lastHead: Pick<ResponseParts, "type" | "version" | "nonce"> & { readonly bytes: Uint8Array } = {
	type: "cds",
	version: "",
	nonce: "",
	bytes: new Uint8Array(),
};

/** Version, type and nonce: one small piece. Clients of one kind have been sent as many responses, so that most have the very same in a push. */
function responseHead({ type, version, nonce }: ResponseParts): Uint8Array {
	if (lastHead.nonce !== nonce || lastHead.type !== type || lastHead.version !== version) {
		lastHead = { type, version, nonce, bytes: encodeHead(type, version, nonce) };
	}
	return lastHead.bytes;
}

function encodeHead(type: XdsType, version: string, nonce: string): Uint8Array {
	return new BinaryWriter().uint32(10).string(version).uint32(34).string(typeUrls[type]).uint32(42).string(nonce).finish();
}

function removedField(names: readonly string[]): Uint8Array {
	const writer = new BinaryWriter();
	for (const name of names) writer.uint32(50).string(name);
	return writer.finish();
}

function message(pieces: readonly Uint8Array[]): WireMessage {
	return { pieces, length: pieces.reduce((sum, { length }) => sum + length, 0) };
}

export interface ResponseParts {
	readonly type: XdsType;
	readonly version: string;
	readonly nonce: string;
	readonly resources: readonly EncodedResource[];
	/** Delta only. */
	readonly removed: readonly string[];
}

/** An envoy.service.discovery.v3.DeltaDiscoveryResponse. */
export function deltaResponse(parts: ResponseParts): WireMessage {
	const [first] = parts.resources;
	const kept = first && keptResponses.get(first);
	if (kept && isSame(kept.parts, parts)) return kept.message;
	const pieces = [responseHead(parts)];
	deltaSegments(parts.type, parts.resources, pieces);
	if (parts.removed.length > 0) pieces.push(removedField(parts.removed));
	const response = message(pieces);
	if (first && parts.removed.length === 0 && response.length <= keptBytesMax) keptResponses.set(first, { parts, message: response });
	return response;
}

function isSame(a: ResponseParts, b: ResponseParts): boolean {
	if (a.nonce !== b.nonce || a.type !== b.type || a.version !== b.version || b.removed.length > 0) return false;
	return isRun(a.resources, b.resources, 0, b.resources.length);
}

/** An envoy.service.discovery.v3.DiscoveryResponse: version, type and nonce have the numbers 1, 4 and 5 in either. */
export function sotwResponse(parts: ResponseParts): WireMessage {
	const pieces = [responseHead(parts)];
	sotwSegments(parts.type, parts.resources, pieces);
	return message(pieces);
}
