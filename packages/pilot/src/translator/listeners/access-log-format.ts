import type { MeshConfig } from "@weft/api";
import { ReqWithoutQuery } from "@weft/xds/generated/envoy/extensions/formatter/req_without_query/v3/req_without_query.ts";
import { packed } from "../routes/values.ts";

/** Istio's default text: https://istio.io/latest/docs/tasks/observability/logs/access-log/ */
export const defaultText =
	'[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% ' +
	'%RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% %BYTES_SENT% ' +
	'%DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" ' +
	'"%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% ' +
	"%DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n";

const defaultJson: Readonly<Record<string, unknown>> = {
	authority: "%REQ(:AUTHORITY)%",
	bytes_received: "%BYTES_RECEIVED%",
	bytes_sent: "%BYTES_SENT%",
	connection_termination_details: "%CONNECTION_TERMINATION_DETAILS%",
	downstream_local_address: "%DOWNSTREAM_LOCAL_ADDRESS%",
	downstream_remote_address: "%DOWNSTREAM_REMOTE_ADDRESS%",
	duration: "%DURATION%",
	method: "%REQ(:METHOD)%",
	path: "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
	protocol: "%PROTOCOL%",
	request_id: "%REQ(X-REQUEST-ID)%",
	requested_server_name: "%REQUESTED_SERVER_NAME%",
	response_code: "%RESPONSE_CODE%",
	response_code_details: "%RESPONSE_CODE_DETAILS%",
	response_flags: "%RESPONSE_FLAGS%",
	route_name: "%ROUTE_NAME%",
	start_time: "%START_TIME%",
	upstream_cluster: "%UPSTREAM_CLUSTER_RAW%",
	upstream_host: "%UPSTREAM_HOST%",
	upstream_local_address: "%UPSTREAM_LOCAL_ADDRESS%",
	upstream_service_time: "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%",
	upstream_transport_failure_reason: "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
	user_agent: "%REQ(USER-AGENT)%",
	x_forwarded_for: "%REQ(X-FORWARDED-FOR)%",
};

/** envoy.config.core.v3.SubstitutionFormatString. Every entry ends its line, whether the user says so or not. */
export function textFormat(text: string | undefined): object {
	const line = text ? (text.endsWith("\n") ? text : `${text}\n`) : defaultText;
	return { textFormatSource: { inlineString: line }, ...formattersFor([line]) };
}

export function jsonFormat(labels: Readonly<Record<string, unknown>> | undefined): object {
	const format = labels && Object.keys(labels).length > 0 ? labels : defaultJson;
	return { jsonFormat: format, jsonFormatOptions: {}, ...formattersFor(Object.values(format)) };
}

/** The format that `accessLogEncoding` and `accessLogFormat` of the mesh name. */
export function meshFormat({ accessLogEncoding, accessLogFormat }: MeshConfig): object {
	return accessLogEncoding === "JSON" ? jsonFormat(parseFormat(accessLogFormat)) : textFormat(accessLogFormat);
}

const reqWithoutQuery = {
	name: "envoy.formatter.req_without_query",
	typedConfig: packed("envoy.extensions.formatter.req_without_query.v3.ReqWithoutQuery", ReqWithoutQuery, {}),
};

/** Commands that Envoy knows only with an extension beside the format. */
export function formattersFor(formats: readonly unknown[]): { readonly formatters?: readonly object[] } {
	return JSON.stringify(formats).includes("%REQ_WITHOUT_QUERY") ? { formatters: [reqWithoutQuery] } : {};
}

/** The user's JSON format; undefined where it is none or no JSON object, and then the default holds, as in Istio. */
function parseFormat(text: string | undefined): Readonly<Record<string, unknown>> | undefined {
	if (!text) return undefined;
	try {
		const value: unknown = JSON.parse(text);
		return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined;
	} catch {
		return undefined;
	}
}
