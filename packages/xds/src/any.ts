import type { MessageFns } from "./message.ts";

const prefix = "type.googleapis.com/";
const registry = new Map<string, MessageFns>();

/**
 * Makes message types known by their full names, for Any. The control plane and the command line register everything
 * (`allMessages` of `@weft/xds/registry`); the proxy registers what it implements, so that it carries no code for the rest.
 */
export function registerMessages(messages: Readonly<Record<string, MessageFns>>): void {
	for (const [name, fns] of Object.entries(messages)) registry.set(name, fns);
}

export function messageFns(typeName: string): MessageFns | undefined {
	return registry.get(typeName);
}

/** `type.googleapis.com/a.b.C` → `a.b.C`. */
export function stripTypeUrl(typeUrl: string): string {
	return typeUrl.slice(typeUrl.lastIndexOf("/") + 1);
}

export interface Any {
	typeUrl: string;
	value: Uint8Array;
}

/** Packs a message; `fns` is the generated codec of `typeName`. */
export function packAny<T>(typeName: string, fns: MessageFns<T>, message: T): Any {
	return { typeUrl: prefix + typeName, value: fns.encode(message).finish() };
}

/** Unpacks when `any` holds `typeName`; throws what the decoder throws on bytes that are not that message. */
export function unpackAny<T>(typeName: string, fns: MessageFns<T>, any: Any | undefined): T | undefined {
	return any && stripTypeUrl(any.typeUrl) === typeName ? fns.decode(any.value) : undefined;
}
