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

function assemble(front: Uint8Array, heads: readonly Uint8Array[], resources: readonly EncodedResource[], back: Uint8Array): Buffer {
	let length = front.length + back.length;
	for (let i = 0; i < resources.length; i++) length += (heads[i] as Uint8Array).length + (resources[i] as EncodedResource).bytes.length;
	const out = Buffer.allocUnsafe(length);
	out.set(front, 0);
	let at = front.length;
	for (let i = 0; i < resources.length; i++) {
		const head = heads[i] as Uint8Array;
		const { bytes } = resources[i] as EncodedResource;
		out.set(head, at);
		out.set(bytes, at + head.length);
		at += head.length + bytes.length;
	}
	out.set(back, at);
	return out;
}

export interface ResponseParts {
	readonly type: XdsType;
	readonly version: string;
	readonly nonce: string;
	readonly resources: readonly EncodedResource[];
	/** Delta only. */
	readonly removed: readonly string[];
}

/** An encoded envoy.service.discovery.v3.DeltaDiscoveryResponse. */
export function deltaResponse({ type, version, nonce, resources, removed }: ResponseParts): Buffer {
	const front = new BinaryWriter().uint32(10).string(version).finish();
	const back = new BinaryWriter().uint32(34).string(typeUrls[type]).uint32(42).string(nonce);
	for (const name of removed) back.uint32(50).string(name);
	return assemble(
		front,
		resources.map((r) => deltaHead(type, r)),
		resources,
		back.finish(),
	);
}

/** An encoded envoy.service.discovery.v3.DiscoveryResponse. */
export function sotwResponse({ type, version, nonce, resources }: ResponseParts): Buffer {
	const front = new BinaryWriter().uint32(10).string(version).finish();
	const back = new BinaryWriter().uint32(34).string(typeUrls[type]).uint32(42).string(nonce).finish();
	return assemble(
		front,
		resources.map((r) => sotwHead(type, r)),
		resources,
		back,
	);
}
