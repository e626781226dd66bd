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

/** A length-delimited field as bytes. */
function textField(number: number, text: string): Uint8Array {
	return new BinaryWriter()
		.uint32((number << 3) | 2)
		.string(text)
		.finish();
}

const versionField = lastOf((version: string) => textField(1, version));
const typeFields = new Map<XdsType, Uint8Array>();

function typeField(type: XdsType): Uint8Array {
	let field = typeFields.get(type);
	if (!field) {
		field = textField(4, typeUrls[type]);
		typeFields.set(type, field);
	}
	return field;
}

/** One push writes the same version for every client. */
function lastOf<V>(make: (key: string) => V): (key: string) => V {
	let lastKey: string | undefined;
	let last: V | undefined;
	return (key) => {
		if (last !== undefined && key === lastKey) return last;
		lastKey = key;
		last = make(key);
		return last;
	};
}

function assemble(parts: ResponseParts, headOf: (type: XdsType, resource: EncodedResource) => Uint8Array): Buffer {
	const { type, version, nonce, resources, removed } = parts;
	const fields = [versionField(version)];
	for (const resource of resources) fields.push(headOf(type, resource), resource.bytes);
	fields.push(typeField(type));
	for (const name of removed) fields.push(textField(6, name));
	let length = 2 + nonce.length;
	for (const field of fields) length += field.length;
	const out = Buffer.allocUnsafe(length);
	let at = 0;
	for (const field of fields) {
		out.set(field, at);
		at += field.length;
	}
	// A nonce is a few ASCII characters: one byte of length.
	out[at] = (5 << 3) | 2;
	out[at + 1] = nonce.length;
	out.latin1Write(nonce, at + 2);
	return out;
}

export interface ResponseParts {
	readonly type: XdsType;
	readonly version: string;
	/** ASCII, shorter than 128. */
	readonly nonce: string;
	readonly resources: readonly EncodedResource[];
	/** Delta only. */
	readonly removed: readonly string[];
}

/** An encoded envoy.service.discovery.v3.DeltaDiscoveryResponse. */
export function deltaResponse(parts: ResponseParts): Buffer {
	return assemble(parts, deltaHead);
}

/** An encoded envoy.service.discovery.v3.DiscoveryResponse. */
export function sotwResponse(parts: ResponseParts): Buffer {
	return assemble({ ...parts, removed: [] }, sotwHead);
}
