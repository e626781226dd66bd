import { type Any, fromJson, messageFns, stripTypeUrl } from "@weft/xds";
import { type At, report } from "./issues.ts";

interface TypedStruct {
	readonly typeUrl: string;
	readonly value: object | undefined;
}

const structTypes = new Set(["udpa.type.v1.TypedStruct", "xds.type.v3.TypedStruct"]);

export interface Opened {
	readonly typeName: string;
	readonly message: unknown;
}

/**
 * The message inside an Any, a TypedStruct being opened as the type that it names (Istio wraps extensions so that a
 * control plane need not carry their messages). A type that is not registered is not implemented: that is an error.
 */
export function openAny(at: At, any: Any | undefined, what: string): Opened | undefined {
	if (any === undefined) {
		report(at, `${what} has no typed_config`);
		return undefined;
	}
	const typeName = stripTypeUrl(any.typeUrl);
	const fns = messageFns(typeName);
	if (!fns) {
		report(at, `${what} of type ${typeName} is not implemented`);
		return undefined;
	}
	try {
		const message = fns.decode(any.value);
		return structTypes.has(typeName) ? openStruct(at, message as TypedStruct, what) : { typeName, message };
	} catch (error) {
		report(at, `${what}: bytes are not a ${typeName}: ${(error as Error).message}`);
		return undefined;
	}
}

/** Whether this proxy knows the message, be it inside a TypedStruct. */
export function isKnownType({ typeUrl, value }: Any): boolean {
	const typeName = stripTypeUrl(typeUrl);
	const fns = messageFns(typeName);
	if (fns === undefined || !structTypes.has(typeName)) return fns !== undefined;
	try {
		return messageFns(stripTypeUrl((fns.decode(value) as TypedStruct).typeUrl)) !== undefined;
	} catch {
		// Whoever opens it says so.
		return true;
	}
}

function openStruct(at: At, { typeUrl, value }: TypedStruct, what: string): Opened | undefined {
	const typeName = stripTypeUrl(typeUrl);
	if (!messageFns(typeName)) {
		report(at, `${what} of type ${typeName} is not implemented`);
		return undefined;
	}
	try {
		return { typeName, message: fromJson(typeName, value ?? {}) };
	} catch (error) {
		report(at, `${what} of type ${typeName}: ${(error as Error).message}`);
		return undefined;
	}
}
