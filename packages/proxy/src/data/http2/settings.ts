import { defaultFrameSize, defaultTableSize, defaultWindow, errorCode, frameSizeMax, Http2ConnectionError, settingId, windowMax } from "./protocol.ts";

/** What a peer has asked for (RFC 9113 §6.5.2). */
export interface PeerSettings {
	headerTableSize: number;
	enablePush: boolean;
	maxConcurrentStreams: number;
	initialWindowSize: number;
	maxFrameSize: number;
	enableConnectProtocol: boolean;
}

export function createPeerSettings(): PeerSettings {
	return {
		headerTableSize: defaultTableSize,
		enablePush: true,
		maxConcurrentStreams: Number.POSITIVE_INFINITY,
		initialWindowSize: defaultWindow,
		maxFrameSize: defaultFrameSize,
		enableConnectProtocol: false,
	};
}

function refuse(code: number, message: string): never {
	throw new Http2ConnectionError(code, `${message} (RFC 9113 6.5.2)`);
}

/** Applies the payload of one frame. `fromServer`: servers may not speak of push. */
export function applySettings(settings: PeerSettings, bytes: Buffer, start: number, end: number, fromServer: boolean): void {
	if ((end - start) % 6 !== 0) throw new Http2ConnectionError(errorCode.frameSizeError, "SETTINGS length is no multiple of 6 (RFC 9113 6.5)");
	for (let at = start; at < end; at += 6) applySetting(settings, bytes.readUInt16BE(at), bytes.readUInt32BE(at + 2), fromServer);
}

function applySetting(settings: PeerSettings, id: number, value: number, fromServer: boolean): void {
	switch (id) {
		case settingId.headerTableSize:
			settings.headerTableSize = value;
			return;
		case settingId.enablePush:
			if (value > 1 || (fromServer && value === 1)) refuse(errorCode.protocolError, "SETTINGS_ENABLE_PUSH");
			settings.enablePush = value === 1;
			return;
		case settingId.maxConcurrentStreams:
			settings.maxConcurrentStreams = value;
			return;
		case settingId.initialWindowSize:
			if (value > windowMax) refuse(errorCode.flowControlError, "SETTINGS_INITIAL_WINDOW_SIZE");
			settings.initialWindowSize = value;
			return;
		case settingId.maxFrameSize:
			if (value < defaultFrameSize || value > frameSizeMax) refuse(errorCode.protocolError, "SETTINGS_MAX_FRAME_SIZE");
			settings.maxFrameSize = value;
			return;
		case settingId.enableConnectProtocol:
			if (value > 1 || (settings.enableConnectProtocol && value === 0)) refuse(errorCode.protocolError, "SETTINGS_ENABLE_CONNECT_PROTOCOL");
			settings.enableConnectProtocol = value === 1;
			return;
	}
}
