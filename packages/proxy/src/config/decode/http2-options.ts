import type { Http2ProtocolOptions } from "@weft/xds/generated/envoy/config/core/v3/protocol.ts";
import { http2Defaults } from "../http2-defaults.ts";
import type { Http2Keepalive, Http2Options } from "../http2-options.ts";
import { type At, durationMsOr, report, under } from "./issues.ts";

const windowMin = 65_535;
const windowMax = 2_147_483_647;
const keepaliveJitterDefault = 15;

/** `isStreamErrorDefault`: what the connection manager says for all protocols. */
export function decodeHttp2Options(at: At, message: Http2ProtocolOptions | undefined, isStreamErrorDefault = false): Http2Options {
	if (message === undefined) return isStreamErrorDefault ? { ...http2Defaults, isStreamErrorOnInvalidMessage: true } : http2Defaults;
	if (message.allowMetadata) report(under(at, "allowMetadata"), "METADATA frames are not implemented");
	if (message.customSettingsParameters.length > 0) report(under(at, "customSettingsParameters"), "custom_settings_parameters is not implemented");
	const streamWindow = window(under(at, "initialStreamWindowSize"), message.initialStreamWindowSize, http2Defaults.streamWindow);
	const connectionWindow = window(under(at, "initialConnectionWindowSize"), message.initialConnectionWindowSize, http2Defaults.connectionWindow);
	return {
		headerTableSize: message.hpackTableSize ?? http2Defaults.headerTableSize,
		maxConcurrentStreams: message.maxConcurrentStreams ?? http2Defaults.maxConcurrentStreams,
		streamWindow,
		connectionWindow,
		allowConnect: message.allowConnect,
		outboundFramesMax: message.maxOutboundFrames ?? http2Defaults.outboundFramesMax,
		outboundControlFramesMax: message.maxOutboundControlFrames ?? http2Defaults.outboundControlFramesMax,
		emptyFramesMax: message.maxConsecutiveInboundFramesWithEmptyPayload ?? http2Defaults.emptyFramesMax,
		priorityFramesPerStreamMax: message.maxInboundPriorityFramesPerStream ?? http2Defaults.priorityFramesPerStreamMax,
		windowUpdatesPerDataFrameMax: message.maxInboundWindowUpdateFramesPerDataFrameSent ?? http2Defaults.windowUpdatesPerDataFrameMax,
		isStreamErrorOnInvalidMessage: message.overrideStreamErrorOnInvalidHttpMessage ?? (message.streamErrorOnInvalidHttpMessaging || isStreamErrorDefault),
		keepalive: decodeKeepalive(message),
	};
}

function window(at: At, value: number | undefined, usual: number): number {
	if (value === undefined) return usual;
	if (value < windowMin || value > windowMax) report(at, `${value} is not between ${windowMin} and ${windowMax}`);
	return value;
}

function decodeKeepalive({ connectionKeepalive: message }: Http2ProtocolOptions): Http2Keepalive | undefined {
	if (message === undefined) return undefined;
	return {
		intervalMs: durationMsOr(message.interval, 0),
		timeoutMs: durationMsOr(message.timeout, 0),
		jitterPercent: message.intervalJitter?.value ?? keepaliveJitterDefault,
		idleIntervalMs: durationMsOr(message.connectionIdleInterval, 0),
	};
}
