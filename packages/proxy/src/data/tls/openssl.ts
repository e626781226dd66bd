import type { SecureContext } from "node:tls";
import { inspect } from "node:util";

/**
 * The OpenSSL that Node is built with, called directly through node:ffi. node:tls puts a stream around each connection, which
 * costs a request several times what OpenSSL itself does: buffers of its own, a callback a write, an object a handshake.
 * https://docs.openssl.org/3.5/man3/
 */
export interface OpenSsl {
	readonly calls: OpenSslCalls;
	/** Of memory that is not moved: it must be referenced while C uses it, and start in an ArrayBuffer of its own or of many. */
	address(memory: ArrayBufferLike): Pointer;
	/** A text that ends with a zero byte. */
	text(pointer: Pointer): string;
	/** A copy. */
	bytes(pointer: Pointer, count: number): Buffer;
	/** Not a copy: the memory must stay where it is while the view is used. */
	view(pointer: Pointer, count: number): ArrayBuffer;
	pointerAt(at: Pointer): Pointer;
	setPointer(at: Pointer, value: Pointer): void;
	setByte(at: Pointer, value: number): void;
	/** A function that C may call, in this thread. It must not throw. */
	callback(signature: Signature, run: (...values: never[]) => number): Pointer;
}

/** 0n: NULL. */
export type Pointer = bigint;

interface Signature {
	readonly arguments: readonly string[];
	readonly return: string;
}

const pointer = "pointer";
const int = "i32";
const long = "i64";
const signatures = {
	BIO_new: [[pointer], pointer],
	BIO_s_mem: [[], pointer],
	BIO_up_ref: [[pointer], int],
	BIO_ctrl: [[pointer, int, long, pointer], long],
	BIO_get_data: [[pointer], pointer],
	BIO_read: [[pointer, pointer, int], int],
	BIO_write: [[pointer, pointer, int], int],
	ERR_clear_error: [[], "void"],
	ERR_error_string_n: [["u64", pointer, "u64"], "void"],
	ERR_get_error: [[], "u64"],
	ERR_reason_error_string: [["u64"], pointer],
	SSL_CIPHER_get_name: [[pointer], pointer],
	SSL_CTX_set_alpn_select_cb: [[pointer, pointer, pointer], "void"],
	SSL_SESSION_free: [[pointer], "void"],
	SSL_SESSION_is_resumable: [[pointer], int],
	SSL_ctrl: [[pointer, int, long, pointer], long],
	SSL_do_handshake: [[pointer], int],
	SSL_free: [[pointer], "void"],
	SSL_get0_alpn_selected: [[pointer, pointer, pointer], "void"],
	SSL_get0_group_name: [[pointer], pointer],
	SSL_get1_peer_certificate: [[pointer], pointer],
	SSL_get_certificate: [[pointer], pointer],
	SSL_get_current_cipher: [[pointer], pointer],
	SSL_get_error: [[pointer, int], int],
	SSL_get_session: [[pointer], pointer],
	SSL_get_verify_result: [[pointer], long],
	SSL_get_version: [[pointer], pointer],
	SSL_new: [[pointer], pointer],
	SSL_read: [[pointer, pointer, int], int],
	SSL_session_reused: [[pointer], int],
	SSL_set_accept_state: [[pointer], "void"],
	SSL_set_alpn_protos: [[pointer, pointer, "u32"], int],
	SSL_set_bio: [[pointer, pointer, pointer], "void"],
	SSL_set_connect_state: [[pointer], "void"],
	SSL_set_options: [[pointer, "u64"], "u64"],
	SSL_set_session: [[pointer, pointer], int],
	SSL_set_verify: [[pointer, int, pointer], "void"],
	SSL_shutdown: [[pointer], int],
	SSL_write: [[pointer, pointer, int], int],
	X509_free: [[pointer], "void"],
	X509_verify_cert_error_string: [[long], pointer],
	d2i_SSL_SESSION: [[pointer, pointer, long], pointer],
	i2d_SSL_SESSION: [[pointer, pointer], int],
	i2d_X509: [[pointer, pointer], int],
} as const;

interface Values {
	readonly pointer: Pointer;
	readonly i32: number;
	readonly u32: number;
	readonly i64: bigint;
	readonly u64: bigint;
	readonly void: undefined;
}

type Arguments<T extends readonly (keyof Values)[]> = { -readonly [I in keyof T]: T[I] extends "pointer" ? Pointer | string : Values[T[I]] };

export type OpenSslCalls = {
	readonly [N in keyof typeof signatures]: (...values: Arguments<(typeof signatures)[N][0]>) => Values[(typeof signatures)[N][1]];
};

/** https://nodejs.org/docs/latest-v26.x/api/ffi.html */
interface Ffi {
	readonly DynamicLibrary: new (
		path: null,
	) => {
		getFunctions(signatures: Readonly<Record<string, Signature>>): OpenSslCalls;
		registerCallback(signature: Signature, run: (...values: never[]) => number): Pointer;
	};
	getRawPointer(memory: ArrayBufferLike): Pointer;
	toString(pointer: Pointer): string | null;
	toBuffer(pointer: Pointer, length: number, copy: boolean): Buffer;
	toArrayBuffer(pointer: Pointer, length: number, copy: boolean): ArrayBuffer;
	getUint64(at: Pointer, offset: number): bigint;
	setUint64(at: Pointer, offset: number, value: bigint): void;
	setUint8(at: Pointer, offset: number, value: number): void;
}

/** undefined: this Node has no node:ffi, or an OpenSSL that is another than expected, and does not show it. */
export async function loadOpenSsl(): Promise<OpenSsl | undefined> {
	// The newest function that is used came with 3.2; the next major version may change what others mean.
	const version = /^3\.(\d+)\./.exec(process.versions.openssl ?? "");
	if (version === null || Number(version[1]) < 2) return undefined;
	try {
		const name = "node:ffi";
		const ffi = (await import(name)) as Ffi;
		const library = new ffi.DynamicLibrary(null);
		const entries = Object.entries(signatures).map(([symbol, [types, result]]) => [symbol, { arguments: types, return: result }] as const);
		return {
			calls: library.getFunctions(Object.fromEntries(entries)),
			address: ffi.getRawPointer,
			text: (at) => (at === 0n ? "" : (ffi.toString(at) ?? "")),
			bytes: (at, count) => ffi.toBuffer(at, count, true),
			view: (at, count) => ffi.toArrayBuffer(at, count, false),
			pointerAt: (at) => ffi.getUint64(at, 0),
			setPointer: (at, value) => ffi.setUint64(at, 0, value),
			setByte: (at, value) => ffi.setUint8(at, 0, value),
			callback: (signature, run) => library.registerCallback(signature, run),
		};
	} catch {
		return undefined;
	}
}

const pointers = new WeakMap<SecureContext, Pointer>();

/**
 * The SSL_CTX of a context that node:tls made: Node hands it to add-ons as an `External`, whose one public sign of where it
 * points is its printed form. A context that is used so must never be given to node:tls, which would hang callbacks into it
 * that expect its own objects behind every connection. undefined: it prints something else.
 */
export function contextPointer(secure: SecureContext): Pointer | undefined {
	let found = pointers.get(secure);
	if (found === undefined) {
		const { context } = secure as unknown as { readonly context: { readonly _external?: object } };
		const address = /^\[External: ([0-9a-f]+)\]$/.exec(inspect(context._external))?.[1];
		if (address === undefined) return undefined;
		found = BigInt(`0x${address}`);
		pointers.set(secure, found);
	}
	return found;
}
