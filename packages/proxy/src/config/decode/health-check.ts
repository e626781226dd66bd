import type { HeaderValueOption } from "@weft/xds/generated/envoy/config/core/v3/base.ts";
import type {
	HealthCheck as HealthCheckMessage,
	HealthCheck_GrpcHealthCheck,
	HealthCheck_HttpHealthCheck,
	HealthCheck_Payload,
	HealthCheck_TcpHealthCheck,
} from "@weft/xds/generated/envoy/config/core/v3/health_check.ts";
import { RequestMethod } from "@weft/xds/generated/envoy/config/core/v3/base.ts";
import type { Int64Range } from "@weft/xds/generated/envoy/type/v3/range.ts";
import type { GrpcProbe, HealthCheck, HttpProbe, StatusRange, TcpProbe } from "../health-check.ts";
import type { HeaderMutation } from "../header-operations.ts";
import { openAny } from "./any.ts";
import { decodeMutation } from "./headers.ts";
import { type At, durationMs, durationMsOr, onlySupports, report, under } from "./issues.ts";
import { decodeStringMatch } from "./matchers.ts";

const methodNames: ReadonlyMap<number, string> = new Map(Object.entries(RequestMethod).map(([name, value]) => [value, name]));
const noTrafficMs = 60_000;
const responseBytesDefault = 1024;
const fileSink = "envoy.extensions.health_check.event_sinks.file.v3.HealthCheckEventFileSink";

/** Every default as Envoy fills it in (source/extensions/health_checkers). */
export function decodeHealthCheck(at: At, check: HealthCheckMessage): HealthCheck {
	const intervalMs = durationMsOr(check.interval, 0);
	const unhealthyIntervalMs = durationMsOr(check.unhealthyInterval, intervalMs);
	const noTrafficIntervalMs = durationMsOr(check.noTrafficInterval, noTrafficMs);
	if (check.eventService !== undefined) report(under(at, "eventService"), "event_service is not implemented");
	return {
		probe: decodeProbe(at, check),
		timeoutMs: durationMsOr(check.timeout, 0),
		intervalMs,
		initialJitterMs: durationMs(check.initialJitter) ?? 0,
		intervalJitterMs: durationMs(check.intervalJitter) ?? 0,
		intervalJitterPercent: check.intervalJitterPercent,
		noTrafficIntervalMs,
		noTrafficHealthyIntervalMs: durationMsOr(check.noTrafficHealthyInterval, noTrafficIntervalMs),
		unhealthyIntervalMs,
		unhealthyEdgeIntervalMs: durationMsOr(check.unhealthyEdgeInterval, unhealthyIntervalMs),
		healthyEdgeIntervalMs: durationMsOr(check.healthyEdgeInterval, intervalMs),
		unhealthyThreshold: check.unhealthyThreshold ?? 1,
		healthyThreshold: check.healthyThreshold ?? 1,
		reuseConnection: check.reuseConnection ?? true,
		eventLogPath: decodeEventLog(at, check),
		alwaysLogFailures: check.alwaysLogHealthCheckFailures,
		alwaysLogSuccesses: check.alwaysLogHealthCheckSuccess,
		alpn: check.tlsOptions === undefined || check.tlsOptions.alpnProtocols.length === 0 ? undefined : check.tlsOptions.alpnProtocols,
		transportMatch: check.transportSocketMatchCriteria,
	};
}

function decodeEventLog(at: At, check: HealthCheckMessage): string {
	if (check.eventLogger.length === 0) return check.eventLogPath;
	if (check.eventLogger.length > 1) report(under(at, "eventLogger"), "more than one event logger is not implemented");
	const here = under(at, "eventLogger[0]");
	const opened = openAny(here, check.eventLogger[0]?.typedConfig, `event logger ${check.eventLogger[0]?.name}`);
	if (opened === undefined) return "";
	if (opened.typeName !== fileSink) {
		report(here, `event logger of type ${opened.typeName} is not implemented`);
		return "";
	}
	return (opened.message as { readonly eventLogPath: string }).eventLogPath;
}

function decodeProbe(at: At, check: HealthCheckMessage): HealthCheck["probe"] {
	if (check.httpHealthCheck !== undefined) return decodeHttp(under(at, "httpHealthCheck"), check.httpHealthCheck);
	if (check.grpcHealthCheck !== undefined) return decodeGrpc(under(at, "grpcHealthCheck"), check.grpcHealthCheck);
	if (check.tcpHealthCheck !== undefined) return decodeTcp(under(at, "tcpHealthCheck"), check.tcpHealthCheck);
	report(at, `custom health check ${check.customHealthCheck?.name ?? ""} is not implemented`);
	return { kind: "tcp", send: new Uint8Array(), receive: [], proxyProtocol: undefined };
}

function decodeHttp(at: At, http: HealthCheck_HttpHealthCheck): HttpProbe {
	if (http.codecClientType > 1) report(under(at, "codecClientType"), "HTTP3 is not implemented");
	if (http.method === RequestMethod.CONNECT) report(under(at, "method"), "CONNECT is not a method for health checks");
	const expected = http.expectedStatuses.map((range, i) => decodeRange(under(at, `expectedStatuses[${i}]`), range));
	return {
		kind: "http",
		method: http.method === RequestMethod.METHOD_UNSPECIFIED ? "GET" : (methodNames.get(http.method) ?? "GET"),
		host: http.host,
		path: http.path,
		body: http.send && decodePayload(under(at, "send"), http.send),
		receive: http.receive.map((payload, i) => decodePayload(under(at, `receive[${i}]`), payload)),
		responseBytesMax: Number(http.responseBufferSize ?? responseBytesDefault),
		headersToAdd: decodeHeaders(under(at, "requestHeadersToAdd"), http.requestHeadersToAdd),
		headersToRemove: http.requestHeadersToRemove.map((name) => name.toLowerCase()),
		expected: expected.length === 0 ? [{ start: 200, end: 201 }] : expected,
		retriable: http.retriableStatuses.map((range, i) => decodeRange(under(at, `retriableStatuses[${i}]`), range)),
		codec: http.codecClientType === 1 ? "http2" : "http1",
		serviceName: http.serviceNameMatcher && decodeStringMatch(under(at, "serviceNameMatcher"), http.serviceNameMatcher),
	};
}

function decodeRange(at: At, { start, end }: Int64Range): StatusRange {
	const range = { start: Number(start), end: Number(end) };
	if (range.start >= range.end || range.start < 100 || range.end > 600)
		report(at, `Invalid http status range: expecting start < end, start >= 100 and end <= 600, but found start=${start} and end=${end}`);
	return range;
}

function decodeGrpc(at: At, grpc: HealthCheck_GrpcHealthCheck): GrpcProbe {
	return {
		kind: "grpc",
		service: grpc.serviceName,
		authority: grpc.authority,
		metadata: decodeHeaders(under(at, "initialMetadata"), grpc.initialMetadata),
	};
}

function decodeTcp(at: At, tcp: HealthCheck_TcpHealthCheck): TcpProbe {
	if (tcp.proxyProtocolConfig !== undefined)
		onlySupports(under(at, "proxyProtocolConfig"), "envoy.config.core.v3.ProxyProtocolConfig", tcp.proxyProtocolConfig, ["version"]);
	return {
		kind: "tcp",
		send: tcp.send === undefined ? new Uint8Array() : decodePayload(under(at, "send"), tcp.send),
		receive: tcp.receive.map((payload, i) => decodePayload(under(at, `receive[${i}]`), payload)),
		proxyProtocol: tcp.proxyProtocolConfig && (tcp.proxyProtocolConfig.version === 0 ? "v1" : "v2"),
	};
}

/** `text` is hexadecimal. */
function decodePayload(at: At, { text, binary }: HealthCheck_Payload): Uint8Array {
	if (text === undefined) return binary ?? new Uint8Array();
	if (text.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(text)) report(at, `invalid hex string '${text}'`);
	return Buffer.from(text, "hex");
}

function decodeHeaders(at: At, options: readonly HeaderValueOption[]): readonly HeaderMutation[] {
	return options.map((option, i) => {
		const mutation = decodeMutation(at, option);
		// There is no request whose values they could name.
		if (mutation.value.replaceAll("%%", "").includes("%")) report({ ...at, path: `${at.path}[${i}]` }, "%…% operators are not implemented in health checks");
		return { ...mutation, value: mutation.value.replaceAll("%%", "%") };
	});
}
