import { envoyHeaderBit } from "../codec/header-block.ts";
import { hasToken } from "../codec/head-parser.ts";
import { known } from "../codec/known-names.ts";
import type { Http1RequestHead } from "../codec/request-head.ts";
import { responseFlags } from "../log/response-flags.ts";
import { isPlainPath, normalizePath } from "../match/path-normalization.ts";
import type { CompiledManager } from "./connection-manager.ts";
import { type LocalReply, sendLocalReply } from "./local-reply.ts";
import type { HttpStream } from "./stream.ts";

const bit = (name: keyof typeof known): number => 1 << known[name];
const hopByHop = bit("connection") | bit("keep-alive") | bit("proxy-connection") | bit("te") | bit("upgrade") | bit("transfer-encoding") | bit("http2-settings");

/** Only internal callers may say these; nobody is internal unless configured so (Envoy since 1.33). */
const internalHeaders: readonly string[] = [
	"x-envoy-retriable-header-names",
	"x-envoy-retriable-status-codes",
	"x-envoy-retry-on",
	"x-envoy-retry-grpc-on",
	"x-envoy-max-retries",
	"x-envoy-upstream-alt-stat-name",
	"x-envoy-upstream-rq-timeout-ms",
	"x-envoy-upstream-rq-per-try-timeout-ms",
	"x-envoy-upstream-rq-timeout-alt-response",
	"x-envoy-expected-rq-timeout-ms",
	"x-envoy-force-trace",
	"x-envoy-hedge-on-per-try-timeout",
	"x-envoy-ip-tags",
	"x-envoy-original-url",
	"x-envoy-internal",
	"x-envoy-is-timeout-retry",
];
const edgeHeaders: readonly string[] = ["x-envoy-decorator-operation", "x-envoy-downstream-service-cluster", "x-envoy-downstream-service-node", "x-envoy-original-path"];

/**
 * What happens to a request before it is routed, in the order of Envoy's connection manager. False: it has been answered.
 */
export function admitRequest(stream: HttpStream): boolean {
	const { request, manager } = stream;
	const reply = checkRequest(stream, request, manager);
	if (reply !== undefined) {
		sendLocalReply(stream, reply);
		return false;
	}
	return true;
}

function checkRequest(stream: HttpStream, head: Http1RequestHead, manager: CompiledManager): LocalReply | undefined {
	const { config } = manager;
	if (head.hostEnd === head.hostStart && !head.isAuthorityChanged) {
		if (head.version === 10 && config.http1.defaultHostForHttp10 !== "") head.authority = config.http1.defaultHostForHttp10;
		else return { status: 400, body: "", flags: 0, details: "missing_host_header" };
	}
	if (head.hasKnown(known.expect)) handleExpect(stream, head, config.proxy100Continue);
	if (config.underscoresInHeaders !== "allow" && !checkUnderscores(head, config.underscoresInHeaders)) {
		return { status: 400, body: "Bad Request", flags: responseFlags.DPE, details: "http1.unexpected_underscore", isClose: true };
	}
	const { path } = head;
	if (head.method !== "CONNECT" && !path.startsWith("/") && path !== "*") {
		manager.count("downstream_rq_non_relative_path");
		return { status: 404, body: "", flags: 0, details: "absolute_path_rejected" };
	}
	const normalized = checkPath(head, manager);
	if (normalized !== undefined) return normalized;
	if (config.stripPort !== "none") stripPort(head, config.stripPort, stream.connection.localPort);
	if (config.stripTrailingHostDot && head.authority.endsWith(".")) head.authority = head.authority.slice(0, -1);
	stream.upgrade = readUpgrade(head);
	mutateRequest(stream, head, manager);
	return undefined;
}

/** Answered here, so that upstreams need not know it (RFC 9110 §10.1.1). */
function handleExpect(stream: HttpStream, head: Http1RequestHead, isProxied: boolean): void {
	const value = head.get("expect")?.toLowerCase();
	if (value !== "100-continue" || isProxied) return;
	head.removeKnown(known.expect);
	if (!stream.isRequestComplete) stream.sendContinue();
}

function checkUnderscores(head: Http1RequestHead, action: "reject" | "drop"): boolean {
	const names: string[] = [];
	head.forEach((name) => {
		if (name.includes("_")) names.push(name);
	});
	if (action === "drop") for (const name of names) head.remove(name);
	return action === "drop" || names.length === 0;
}

function checkPath(head: Http1RequestHead, manager: CompiledManager): LocalReply | undefined {
	const { config } = manager;
	if (!config.normalizePath && !config.mergeSlashes && config.escapedSlashes === "keep") return undefined;
	if (head.method === "CONNECT" || isPlainPath(head.path)) return undefined;
	const result = normalizePath(head.path, config);
	if (result.kind === "reject") {
		manager.count("downstream_rq_failed_path_normalization");
		return { status: 400, body: "", flags: 0, details: "path_normalization_failed" };
	}
	if (result.kind === "redirect") {
		manager.count("downstream_rq_redirected_with_normalized_path");
		return { status: 307, body: "", flags: 0, details: "path_normalization_redirect", headers: ["location", result.path] };
	}
	head.path = result.path;
	return undefined;
}

function stripPort(head: Http1RequestHead, mode: "matching" | "any", localPort: number): void {
	const match = /^(.*):(\d+)$/.exec(head.authority);
	if (match !== null && (mode === "any" || Number(match[2]) === localPort)) head.authority = match[1] as string;
}

/** The protocol asked for, lower case; "" when none, or when it is HTTP/2, which is never negotiated in clear text this way. */
function readUpgrade(head: Http1RequestHead): string {
	if (head.method === "CONNECT") return "connect";
	if (!head.hasKnown(known.upgrade) || !hasToken(head.get("connection") ?? "", "upgrade")) return "";
	const value = (head.get("upgrade") ?? "").trim().toLowerCase();
	return value === "h2c" ? "" : value;
}

function mutateRequest(stream: HttpStream, head: Http1RequestHead, manager: CompiledManager): void {
	const { config } = manager;
	if ((head.present & hopByHop) !== 0) removeHopByHop(head);
	const isEdge = config.useRemoteAddress;
	if ((head.present & envoyHeaderBit) !== 0) {
		for (const name of internalHeaders) head.remove(name);
		if (isEdge) for (const name of edgeHeaders) head.remove(name);
	}
	setForwarded(stream, head, manager);
	if (config.via !== "") head.append("via", config.via);
	const hasId = head.hasKnown(known["x-request-id"]);
	if (config.generateRequestId && (!hasId || (isEdge && !config.preserveExternalRequestId))) {
		if (hasId) head.removeKnown(known["x-request-id"]);
		const id = stream.context.createRequestId();
		head.appendOwn("x-request-id", id);
		stream.info.requestId = id;
	}
	stream.applyClientCertificate();
}

const protectedNames = /^(?:x-forwarded-|x-envoy-|x-request-id$|x-b3-|traceparent$|host$|content-length$|transfer-encoding$|connection$|te$|upgrade$)/;

/** RFC 9110 §7.6.1. What the mesh itself relies on cannot be nominated away. */
export function removeHopByHop(head: { readonly present: number; get(name: string): string | undefined; remove(name: string): boolean; removeKnown(id: number): boolean }): void {
	const te = (head.present & bit("te")) === 0 ? undefined : head.get("te");
	if ((head.present & bit("connection")) !== 0) removeNominated(head);
	head.removeKnown(known["keep-alive"]);
	head.removeKnown(known["proxy-connection"]);
	head.removeKnown(known.upgrade);
	head.removeKnown(known["transfer-encoding"]);
	head.removeKnown(known["http2-settings"]);
	if (te !== undefined && te.trim().toLowerCase() !== "trailers") head.removeKnown(known.te);
}

function removeNominated(head: Parameters<typeof removeHopByHop>[0]): void {
	const value = head.get("connection") ?? "";
	head.removeKnown(known.connection);
	if (value === "keep-alive" || value === "close") return;
	for (const part of value.split(",")) {
		const name = part.trim().toLowerCase();
		if (name !== "" && name !== "close" && name !== "keep-alive" && !protectedNames.test(name)) head.remove(name);
	}
}

/** XFF, XFP and `:scheme`, and whom to take for the client. */
function setForwarded(stream: HttpStream, head: Http1RequestHead, manager: CompiledManager): void {
	const { config } = manager;
	const { connection } = stream;
	const direct = connection.remoteAddress;
	const scheme = connection.isTls ? "https" : "http";
	const forwarded = head.hasKnown(known["x-forwarded-for"]) ? head.get("x-forwarded-for") : undefined;
	if (config.useRemoteAddress) {
		const trusted = trustedClient(forwarded, config.xffNumTrustedHops);
		if (trusted !== undefined) stream.setClientAddress(trusted);
		if (!config.skipXffAppend) {
			head.removeKnown(known["x-forwarded-for"]);
			head.append("x-forwarded-for", forwarded === undefined ? direct : `${forwarded},${direct}`);
		}
		if (config.xffNumTrustedHops === 0 || !head.hasKnown(known["x-forwarded-proto"])) {
			head.removeKnown(known["x-forwarded-proto"]);
			head.appendOwn("x-forwarded-proto", scheme);
		}
		if (manager.direction !== "outbound") head.set("x-envoy-external-address", trusted ?? direct);
	} else {
		const trusted = trustedClient(forwarded, config.xffNumTrustedHops + 1);
		if (trusted !== undefined) stream.setClientAddress(trusted);
		if (!head.hasKnown(known["x-forwarded-proto"])) head.appendOwn("x-forwarded-proto", scheme);
	}
	const proto = config.schemeOverwrite ?? (head.hasKnown(known["x-forwarded-proto"]) ? head.get("x-forwarded-proto") : scheme);
	head.scheme = proto === "https" ? "https" : proto === "http" ? "http" : scheme;
}

/** The `hops`-th address from the right; undefined when there are not so many, or it is none. */
function trustedClient(forwarded: string | undefined, hops: number): string | undefined {
	if (forwarded === undefined || hops === 0) return undefined;
	const address = forwarded.split(",").at(-hops)?.trim();
	return address !== undefined && /^[0-9a-fA-F.:]+$/.test(address) ? address : undefined;
}
