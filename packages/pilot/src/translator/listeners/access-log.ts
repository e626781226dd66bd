import type { MeshConfig } from "@weft/api";
import { FileAccessLog } from "@weft/xds/generated/envoy/extensions/access_loggers/file/v3/file.ts";
import { packed } from "../routes/values.ts";

/** AccessLog entries: one for each request or connection, one for connections that no chain took. */
export interface AccessLogs {
	readonly traffic: readonly object[];
	readonly listener: readonly object[];
}

const none: AccessLogs = { traffic: [], listener: [] };

/** Istio's default text: https://istio.io/latest/docs/tasks/observability/logs/access-log/ */
const defaultText =
	'[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% ' +
	'%RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% %BYTES_SENT% ' +
	'%DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" ' +
	'"%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% ' +
	"%DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n";

const defaultJson = {
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

const byMesh = new WeakMap<MeshConfig, AccessLogs>();

/** The file logs of MeshConfig: those of `defaultProviders.accessLogging`, else that of `accessLogFile`; nothing where neither is set. */
export function buildAccessLogs(mesh: MeshConfig): AccessLogs {
	const known = byMesh.get(mesh);
	if (known) return known;
	const named = mesh.defaultProviders?.accessLogging ?? [];
	const traffic =
		named.length > 0 ? named.flatMap((name) => providerLog(mesh, name)) : mesh.accessLogFile ? [fileLog(mesh.accessLogFile, meshFormat(mesh))] : [];
	// NR: the listener itself logs only what ended before any filter chain could.
	const listener = mesh.disableEnvoyListenerLog ? [] : traffic.map((log) => ({ ...log, filter: { responseFlagFilter: { flags: ["NR"] } } }));
	const logs = traffic.length > 0 ? { traffic, listener } : none;
	byMesh.set(mesh, logs);
	return logs;
}

/** The file log of an extension provider. `envoy` is known without being defined; providers that are not files log elsewhere. */
function providerLog(mesh: MeshConfig, name: string): object[] {
	const provider = mesh.extensionProviders?.find((candidate) => candidate.name === name);
	const file = provider?.envoyFileAccessLog ?? (provider === undefined && name === "envoy" ? {} : undefined);
	if (file === undefined) return [];
	const { text, labels } = file.logFormat ?? {};
	const format = labels ? json(labels) : plain(text || defaultText);
	return [fileLog(file.path || "/dev/stdout", file.omitEmptyValues ? { ...format, omitEmptyValues: true } : format)];
}

function meshFormat({ accessLogEncoding, accessLogFormat }: MeshConfig): object {
	return accessLogEncoding === "JSON" ? json(jsonFormat(accessLogFormat) ?? defaultJson) : plain(accessLogFormat || defaultText);
}

const plain = (inlineString: string): object => ({ textFormatSource: { inlineString } });
const json = (format: object): object => ({ jsonFormat: format, jsonFormatOptions: {} });

function fileLog(path: string, logFormat: object): object {
	return {
		name: "envoy.access_loggers.file",
		typedConfig: packed("envoy.extensions.access_loggers.file.v3.FileAccessLog", FileAccessLog, { path, logFormat }),
	};
}

/** The user's JSON format; undefined where it is none or no JSON object, and then the default holds, as in Istio. */
function jsonFormat(text: string | undefined): object | undefined {
	if (!text) return undefined;
	try {
		const value: unknown = JSON.parse(text);
		return typeof value === "object" && value !== null && !Array.isArray(value) ? value : undefined;
	} catch {
		return undefined;
	}
}
