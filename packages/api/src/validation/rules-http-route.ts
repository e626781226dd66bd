import { grpcStatusNames } from "../grpc-status.ts";
import { parseDurationMs } from "../duration.ts";
import type { CorsPolicy, HTTPDirectResponse, HTTPFaultInjection, HTTPRedirect, HTTPRewrite } from "../schema/virtual-service.ts";
import type { Report } from "./report.ts";
import { checkDuration, checkHeaderName, checkPercent, checkPercentNumber, checkPort, checkStringMatch } from "./rules-common.ts";
import { quote } from "./suggestion.ts";

/** Istio refuses more, Envoy's own default limit is lower and raised to this. */
const directResponseBytesMax = 1_048_576;
const directResponseBytesLarge = 102_400;

export function checkRedirect(report: Report, redirect: HTTPRedirect): void {
	const { uri, authority, scheme, port, derivePort, redirectCode } = redirect;
	if (!uri && !authority && !scheme && port === undefined && derivePort === undefined) {
		report.error("a redirect must give a uri, authority, scheme or port");
	}
	if (port !== 0) checkPort(report.at("port"), port);
	if (scheme && scheme !== "http" && scheme !== "https") report.at("scheme").error(`${quote(scheme)} is neither http nor https`);
	// Envoy has these five alone; Istio refuses the others when it builds the route.
	if (redirectCode !== undefined && redirectCode !== 0 && ![301, 302, 303, 307, 308].includes(redirectCode)) {
		report.at("redirectCode").error(`${redirectCode} is no redirect code; write 301, 302, 303, 307 or 308`);
	}
}

export function checkDirectResponse(report: Report, response: HTTPDirectResponse): void {
	if (response.status < 200 || response.status > 599) report.at("status").error(`${response.status} is no HTTP status; write one from 200 to 599`);
	const { string, bytes } = response.body ?? {};
	if (bytes !== undefined && !/^(?:[A-Za-z0-9+/_-]{4})*(?:[A-Za-z0-9+/_-]{2,3}={0,2})?$/.test(bytes)) {
		report.at("body", "bytes").error("the bytes must be base64; write text under string instead");
	}
	const size = string !== undefined ? Buffer.byteLength(string) : Math.floor(((bytes ?? "").length * 3) / 4);
	if (size > directResponseBytesMax) report.at("body").error(`the body has ${size} bytes, at most ${directResponseBytesMax} are allowed`);
	else if (size > directResponseBytesLarge) report.at("body").warn(`the body has ${size} bytes; it is sent to every proxy, so keep it small`);
}

export function checkRewrite(report: Report, rewrite: HTTPRewrite): void {
	const regex = rewrite.uriRegexRewrite;
	if (!rewrite.uri && !rewrite.authority && !regex) report.error("a rewrite must give a uri, uriRegexRewrite or authority");
	if (rewrite.uri && regex) report.error("a rewrite may have only one of uri and uriRegexRewrite; remove one");
	if (regex && (!regex.match || !regex.rewrite)) report.at("uriRegexRewrite").error("both match and rewrite must be given");
}

export function checkFault(report: Report, fault: HTTPFaultInjection): void {
	const { delay, abort } = fault;
	if (!delay && !abort) report.error("a fault must have a delay, an abort, or both");
	if (delay) {
		const at = report.at("delay");
		if (delay.fixedDelay === undefined && delay.exponentialDelay === undefined) at.warn("a delay without fixedDelay does nothing; add it");
		checkDuration(at.at("fixedDelay"), delay.fixedDelay);
		checkDuration(at.at("exponentialDelay"), delay.exponentialDelay);
		if (delay.exponentialDelay !== undefined) at.at("exponentialDelay").error("exponentialDelay is not supported; write fixedDelay");
		checkPercent(at.at("percentage"), delay.percentage);
		checkPercentNumber(at.at("percent"), delay.percent);
	}
	if (!abort) return;
	const at = report.at("abort");
	if (abort.httpStatus === undefined && abort.grpcStatus === undefined && abort.http2Error === undefined)
		at.warn("an abort without httpStatus or grpcStatus does nothing; add one");
	if (abort.httpStatus !== undefined && (abort.httpStatus < 200 || abort.httpStatus > 599)) {
		at.at("httpStatus").error(`${abort.httpStatus} is no status to abort with; write one from 200 to 599`);
	}
	if (abort.grpcStatus !== undefined && !grpcStatusNames.includes(abort.grpcStatus)) {
		at.at("grpcStatus").error(`${quote(abort.grpcStatus)} is no gRPC status; write its name, like UNAVAILABLE`);
	}
	if (abort.http2Error !== undefined) at.at("http2Error").error("http2Error is not supported; write httpStatus or grpcStatus");
	checkPercent(at.at("percentage"), abort.percentage);
	checkPercentNumber(at.at("percent"), abort.percent);
}

const corsMethods: ReadonlySet<string> = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE", "*"]);

export function checkCors(report: Report, cors: CorsPolicy): void {
	for (const [i, origin] of (cors.allowOrigins ?? []).entries()) {
		const at = report.at("allowOrigins", i);
		if (origin.exact === undefined && origin.prefix === undefined && origin.regex === undefined) at.error("an origin needs exact, prefix or regex");
		if (origin.exact === "") at.at("exact").error("the origin is empty");
		checkStringMatch(at, origin);
	}
	for (const [i, method] of (cors.allowMethods ?? []).entries()) {
		if (!corsMethods.has(method)) report.at("allowMethods", i).error(`${quote(method)} is no HTTP method; methods are written in capitals`);
	}
	for (const field of ["allowHeaders", "exposeHeaders"] as const) {
		for (const [i, name] of (cors[field] ?? []).entries()) checkHeaderName(report.at(field, i), name);
	}
	if (cors.maxAge === undefined) return;
	checkDuration(report.at("maxAge"), cors.maxAge);
	if ((parseDurationMs(cors.maxAge) ?? 0) % 1000 !== 0) report.at("maxAge").error(`${quote(cors.maxAge)} must be whole seconds: the header has no finer step`);
}
