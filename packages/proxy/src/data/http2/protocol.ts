/** Numbers of RFC 9113, under its names. */

export const frameType = {
	data: 0,
	headers: 1,
	priority: 2,
	rstStream: 3,
	settings: 4,
	pushPromise: 5,
	ping: 6,
	goaway: 7,
	windowUpdate: 8,
	continuation: 9,
} as const;

export const frameFlag = { endStream: 0x1, ack: 0x1, endHeaders: 0x4, padded: 0x8, priority: 0x20 } as const;

/** RFC 9113 §7. */
export const errorCode = {
	noError: 0,
	protocolError: 1,
	internalError: 2,
	flowControlError: 3,
	settingsTimeout: 4,
	streamClosed: 5,
	frameSizeError: 6,
	refusedStream: 7,
	cancel: 8,
	compressionError: 9,
	connectError: 10,
	enhanceYourCalm: 11,
	inadequateSecurity: 12,
	http11Required: 13,
} as const;

/** RFC 9113 §6.5.2, RFC 8441 §3. */
export const settingId = {
	headerTableSize: 1,
	enablePush: 2,
	maxConcurrentStreams: 3,
	initialWindowSize: 4,
	maxFrameSize: 5,
	maxHeaderListSize: 6,
	enableConnectProtocol: 8,
} as const;

export const clientPreface: Buffer = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
export const frameHeaderBytes = 9;
export const windowMax = 0x7fff_ffff;
export const defaultWindow = 65_535;
export const defaultFrameSize = 16_384;
export const frameSizeMax = 16_777_215;
export const defaultTableSize = 4096;
export const streamIdMax = 0x7fff_ffff;

/** The peer broke a rule of the connection's: GOAWAY with this code, then the end (RFC 9113 §5.4.1). */
export class Http2ConnectionError extends Error {
	readonly code: number;

	constructor(code: number, message: string) {
		super(message);
		this.name = "Http2ConnectionError";
		this.code = code;
	}
}

/** Ends the connection (RFC 9113 §5.4.1). */
export function fail(code: number, message: string): never {
	throw new Http2ConnectionError(code, message);
}
