import { diagnosticCodes } from "../diagnostic.ts";
import type { ExtensionProvider } from "../schema/extension-provider.ts";
import type { Report } from "./report.ts";
import { checkDuration, checkPort } from "./rules-common.ts";
import { quote } from "./suggestion.ts";

// https://istio.io/latest/docs/reference/config/istio.mesh.v1alpha1/#MeshConfig-ExtensionProvider

/** What Istio itself has dropped or never had outside of one cloud. */
const gone: Readonly<Partial<Record<keyof ExtensionProvider, string>>> = {
	lightstep: "Istio has dropped it; write opentelemetry",
	opencensus: "Envoy has dropped it; write opentelemetry",
	stackdriver: "it is not implemented; write opentelemetry, envoyOtelAls or prometheus",
	sds: "it is not implemented",
};

export function checkProvider(report: Report, provider: ExtensionProvider): void {
	const [kind, config] = Object.entries(provider).find(([field]) => field !== "name") ?? [];
	if (kind === undefined || config === undefined) return report.error("the provider's kind is missing, like prometheus: {}");
	const reason = gone[kind as keyof ExtensionProvider];
	if (reason) report.at(kind).warn(`the provider ${kind} has no effect in this version of Weft: ${reason}`, diagnosticCodes.meshConfig);
	const at = report.at(kind);
	if (typeof config === "object" && config !== null && "service" in config && "port" in config) checkAddress(at, String(config.service), Number(config.port));
	if (provider.envoyExtAuthzHttp) checkHttpAuthorizer(at, provider.envoyExtAuthzHttp);
	for (const authorizer of [provider.envoyExtAuthzHttp, provider.envoyExtAuthzGrpc]) {
		if (authorizer === undefined) continue;
		checkDuration(at.at("timeout"), authorizer.timeout);
		const { statusOnError = "", includeRequestBodyInCheck: body } = authorizer;
		if (statusOnError !== "" && !statusCodes.has(Number(statusOnError)))
			at.at("statusOnError").error(`${quote(statusOnError)} is no status that Envoy can answer with, like 503`);
		if (body && !body.maxRequestBytes) at.at("includeRequestBodyInCheck", "maxRequestBytes").error("maxRequestBytes must be greater than 0");
	}
	const headers = [provider.zipkin?.headers, provider.opentelemetry?.http?.headers, provider.opentelemetry?.grpc?.initialMetadata].flatMap(
		(list) => list ?? [],
	);
	if (headers.some(({ envName }) => envName))
		at.warn("envName of a header has no effect in this version of Weft: the header is empty; write its value", diagnosticCodes.meshConfig);
}

function checkAddress(report: Report, service: string, port: number): void {
	if (service === "") report.at("service").error("the service is empty; write [namespace/]host");
	else if (service.split("/").length > 2 || service.startsWith("/") || service.endsWith("/"))
		report.at("service").error(`${quote(service)} is no service; write [namespace/]host`);
	checkPort(report.at("port"), port);
}

function checkHttpAuthorizer(report: Report, provider: NonNullable<ExtensionProvider["envoyExtAuthzHttp"]>): void {
	const { pathPrefix = "" } = provider;
	if (pathPrefix !== "" && !pathPrefix.startsWith("/")) report.at("pathPrefix").error(`${quote(pathPrefix)} must begin with a slash`);
	const fields = [
		"includeHeadersInCheck",
		"includeRequestHeadersInCheck",
		"headersToUpstreamOnAllow",
		"headersToDownstreamOnDeny",
		"headersToDownstreamOnAllow",
	] as const;
	for (const field of fields) {
		const at = provider[field]?.indexOf("*") ?? -1;
		if (at >= 0) report.at(field, at).error('a single wildcard "*" is not supported; write a prefix or a suffix, like x-*');
	}
}

/** envoy.type.v3.StatusCode. */
const statusCodes: ReadonlySet<number> = new Set([
	100, 200, 201, 202, 203, 204, 205, 206, 207, 208, 226, 300, 301, 302, 303, 304, 305, 307, 308, 400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411,
	412, 413, 414, 415, 416, 417, 421, 422, 423, 424, 426, 428, 429, 431, 500, 501, 502, 503, 504, 505, 506, 507, 508, 510, 511,
]);
