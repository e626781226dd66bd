import type {
	CommonGrpcAccessLogConfig,
	HttpGrpcAccessLogConfig,
	TcpGrpcAccessLogConfig,
} from "@weft/xds/generated/envoy/extensions/access_loggers/grpc/v3/als.ts";
import type { GrpcAccessLog } from "../access-logs.ts";
import { decodeGrpcService } from "./grpc-service.ts";
import { type At, durationMsOr, onlySupports, report, under } from "./issues.ts";
import { decodeCustomTags } from "./tracing.ts";

type Decoded = Omit<GrpcAccessLog, "filter"> | undefined;

const typesPrefix = "envoy.extensions.access_loggers.grpc.v3";
const flushMsDefault = 1_000;
const bufferBytesDefault = 16_384;

export function decodeHttpGrpcLog(at: At, config: HttpGrpcAccessLogConfig): Decoded {
	const common = decodeCommon(under(at, "commonConfig"), config.commonConfig);
	const lower = (names: readonly string[]) => names.map((name) => name.toLowerCase());
	return (
		common && {
			...common,
			protocol: "http",
			requestHeaders: lower(config.additionalRequestHeadersToLog),
			responseHeaders: lower(config.additionalResponseHeadersToLog),
			responseTrailers: lower(config.additionalResponseTrailersToLog),
		}
	);
}

export function decodeTcpGrpcLog(at: At, config: TcpGrpcAccessLogConfig): Decoded {
	const common = decodeCommon(under(at, "commonConfig"), config.commonConfig);
	return common && { ...common, protocol: "tcp", requestHeaders: [], responseHeaders: [], responseTrailers: [] };
}

function decodeCommon(at: At, config: CommonGrpcAccessLogConfig | undefined) {
	if (config?.grpcService === undefined) {
		report(at, "grpc_service is not set");
		return undefined;
	}
	onlySupports(at, `${typesPrefix}.CommonGrpcAccessLogConfig`, config, [
		"logName",
		"grpcService",
		"transportApiVersion",
		"bufferFlushInterval",
		"bufferSizeBytes",
		"filterStateObjectsToLog",
		"customTags",
	]);
	return {
		kind: "grpc",
		// The stream lasts.
		service: { ...decodeGrpcService(under(at, "grpcService"), config.grpcService, 0), timeoutMs: 0 },
		logName: config.logName,
		flushMs: durationMsOr(config.bufferFlushInterval, flushMsDefault),
		bufferBytes: config.bufferSizeBytes ?? bufferBytesDefault,
		filterState: config.filterStateObjectsToLog,
		customTags: decodeCustomTags(at, config.customTags),
	} as const;
}
