import {
	HttpConnectionManager_ForwardClientCertDetails,
	HttpConnectionManager_ServerHeaderTransformation,
} from "@weft/xds/generated/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.ts";

type Json = Readonly<Record<string, unknown>>;

/**
 * `proxyHeaders` of a proxy's configuration: what the proxies say about themselves in headers.
 * https://istio.io/latest/docs/reference/config/istio.mesh.v1alpha1/#ProxyConfig-ProxyHeaders
 */
export interface ProxyHeaders {
	/** Undefined: as Istio has it by default. `false`: the application's own server header passes. */
	readonly server: string | false | undefined;
	/** How a server's proxy passes on what clients say of their certificates. */
	readonly forwardedClientCert: HttpConnectionManager_ForwardClientCertDetails | undefined;
	readonly clientCertDetails: Readonly<Record<string, boolean>> | undefined;
	readonly requestId: boolean;
	readonly attemptCount: boolean;
	readonly suppressEnvoyHeaders: boolean;
	/** Metadata of the workload is not told to hosts outside the mesh. */
	readonly metadataInMeshOnly: boolean;
	readonly preserveHttp1HeaderCase: boolean;
	/** A host that a route writes anew stays known to the server. */
	readonly forwardedHost: boolean;
	readonly forwardedPort: boolean;
}

const details: ReadonlyMap<unknown, HttpConnectionManager_ForwardClientCertDetails> = new Map(Object.entries(HttpConnectionManager_ForwardClientCertDetails));

/** A client may write anything into its metadata: what is not of the right type counts as not said. */
export function decodeProxyHeaders(value: unknown): ProxyHeaders {
	const json = recordOf(value);
	const server = recordOf(json["server"]);
	const name = server["value"];
	return {
		server: isDisabled(json["server"]) ? false : typeof name === "string" && name !== "" ? name : undefined,
		forwardedClientCert: details.get(json["forwardedClientCert"]),
		clientCertDetails: detailsOf(json["setCurrentClientCertDetails"]),
		requestId: !isDisabled(json["requestId"]),
		attemptCount: !isDisabled(json["attemptCount"]),
		suppressEnvoyHeaders: isDisabled(json["envoyDebugHeaders"]),
		metadataInMeshOnly: recordOf(json["metadataExchangeHeaders"])["mode"] === "IN_MESH",
		preserveHttp1HeaderCase: json["preserveHttp1HeaderCase"] === true,
		forwardedHost: isEnabled(json["xForwardedHost"]),
		forwardedPort: isEnabled(json["xForwardedPort"]),
	};
}

/** The server header of answers. `istioName`: what Istio writes where nobody says otherwise. */
export function serverName({ server }: ProxyHeaders, istioName: string): object {
	if (server === false) return { serverHeaderTransformation: HttpConnectionManager_ServerHeaderTransformation.PASS_THROUGH };
	const name = server ?? istioName;
	return name === "" ? {} : { serverName: name };
}

const toldByDefault = { subject: true, dns: true, uri: true, cert: false, chain: false };

function detailsOf(value: unknown): Readonly<Record<string, boolean>> | undefined {
	if (!isRecord(value)) return undefined;
	return Object.fromEntries(Object.entries(toldByDefault).map(([part, told]) => [part, typeof value[part] === "boolean" ? value[part] : told]));
}

const isEnabled = (value: unknown): boolean => recordOf(value)["enabled"] === true;
const isDisabled = (value: unknown): boolean => recordOf(value)["disabled"] === true;

function recordOf(value: unknown): Json {
	return isRecord(value) ? value : {};
}

function isRecord(value: unknown): value is Json {
	return typeof value === "object" && value !== null && !Array.isArray(value);
}
