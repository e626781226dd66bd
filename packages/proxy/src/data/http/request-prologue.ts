import { envoyHeaderBit } from "../codec/header-block.ts";
import { known } from "../codec/known-names.ts";
import type { RequestHead } from "../codec/request-head.ts";
import { takePeer } from "../filters/peer-metadata.ts";
import { appendForwardedFor, edgeNames, internalOnlyNames, type RequestOrigin, resolveOrigin } from "../headers/edge.ts";
import { http2Stat } from "../http2/http2-stats.ts";
import type { HeadersEdit } from "../headers/headers-view.ts";
import { isPlainPath, normalizePath } from "../match/path-normalization.ts";
import type { CompiledManager } from "./connection-manager.ts";
import { type LocalReply, sendLocalReply } from "./local-reply.ts";
import type { HttpStream } from "./stream.ts";
import { httpStat } from "./http-stats.ts";

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

function checkRequest(stream: HttpStream, head: RequestHead, manager: CompiledManager): LocalReply | undefined {
	const { config } = manager;
	if (head.hostEnd === head.hostStart && !head.isAuthorityChanged) {
		if (head.version === 10 && config.http1.defaultHostForHttp10 !== "") head.authority = config.http1.defaultHostForHttp10;
		else return { status: 400, body: "", flags: 0, details: "missing_host_header" };
	}
	// What is asked for is in the content: without its type nobody can read it.
	if (head.method === "QUERY" && !head.hasKnown(known["content-type"])) return { status: 400, body: "", flags: 0, details: "query_missing_content_type" };
	if (head.hasKnown(known.expect)) handleExpect(stream, head, config.proxy100Continue);
	if (config.underscoresInHeaders === "drop") dropUnderscores(head, manager);
	const { path } = head;
	if (head.method !== "CONNECT" && !path.startsWith("/")) {
		manager.count(httpStat.downstream_rq_non_relative_path);
		return { status: 404, body: "", flags: 0, details: "absolute_path_rejected" };
	}
	const normalized = checkPath(head, manager);
	if (normalized !== undefined) return normalized;
	if (config.stripPort !== "none") stripPort(head, config.stripPort, stream.downstream.localPort);
	if (config.stripTrailingHostDot) stripHostDot(head);
	// What was followed to here has been through that.
	if (stream.redirects === undefined || stream.redirects.count === 0) mutateRequest(stream, head, manager);
	return undefined;
}

/** Answered here, so that upstreams need not know it (RFC 9110 §10.1.1). */
function handleExpect(stream: HttpStream, head: RequestHead, isProxied: boolean): void {
	const value = head.get("expect")?.toLowerCase();
	if (value !== "100-continue" || isProxied) return;
	head.removeKnown(known.expect);
	stream.manager.countResponse(100);
	stream.downstream.sendContinue();
}

export function hasUnderscores(head: RequestHead): boolean {
	let found = false;
	head.forEach((name) => {
		found ||= name.includes("_");
	});
	return found;
}

function dropUnderscores(head: RequestHead, manager: CompiledManager): void {
	const names: string[] = [];
	head.forEach((name) => {
		if (name.includes("_")) names.push(name);
	});
	if (head.version === 20) for (const _ of names) manager.countHttp2(http2Stat.dropped_headers_with_underscores);
	for (const name of names) head.remove(name);
}

function checkPath(head: RequestHead, manager: CompiledManager): LocalReply | undefined {
	const { config } = manager;
	// A fragment is for the client alone; routes would be told apart by it.
	if (head.path.includes("#")) return pathRejected(manager);
	if (!config.normalizePath && !config.mergeSlashes && config.escapedSlashes === "keep") return undefined;
	if (head.method === "CONNECT" || isPlainPath(head.path)) return undefined;
	const result = normalizePath(head.path, config);
	// Logs show what it was refused, or redirected, as.
	if (result.kind === "reject") {
		head.path = result.path;
		return pathRejected(manager);
	}
	if (result.kind === "redirect") {
		manager.count(httpStat.downstream_rq_redirected_with_normalized_path);
		head.path = result.path;
		return { status: 307, body: "", flags: 0, details: "path_normalization_failed", headers: ["location", result.path] };
	}
	head.path = result.path;
	return undefined;
}

function pathRejected(manager: CompiledManager): LocalReply {
	manager.count(httpStat.downstream_rq_failed_path_normalization);
	return { status: 400, body: "", flags: 0, details: "path_normalization_failed" };
}

function stripPort(head: RequestHead, mode: "matching" | "any", localPort: number): void {
	const match = /^(.*):(\d+)$/.exec(head.authority);
	if (match !== null && (mode === "any" || Number(match[2]) === localPort)) head.authority = match[1] as string;
}

/** Of the name; a port may follow it. */
function stripHostDot(head: RequestHead): void {
	const match = /^(.*)\.(:\d+)?$/.exec(head.authority);
	if (match !== null) head.authority = `${match[1]}${match[2] ?? ""}`;
}

/** One line, as Envoy keeps it. */
export function appendVia(head: HeadersEdit, via: string): void {
	const before = head.get("via");
	head.set("via", before === undefined || before === "" ? via : `${before}, ${via}`);
}

function mutateRequest(stream: HttpStream, head: RequestHead, manager: CompiledManager): void {
	const { config } = manager;
	const origin = originOf(stream, head, manager);
	const isInternal = origin?.isInternal === true;
	const isEdge = config.useRemoteAddress && !isInternal;
	stream.peer =
		manager.peers !== undefined && manager.direction === "inbound" && (head.present & envoyHeaderBit) !== 0 ? takePeer(manager.peers, head) : undefined;
	// In one pass: between two proxies of the mesh there is always one of these.
	if ((head.present & envoyHeaderBit) !== 0 && !isInternal) head.removeEnvoyLines(isEdge ? edgeNames : internalOnlyNames);
	if (isInternal) head.set("x-envoy-internal", "true");
	setForwarded(stream, head, manager, origin);
	if (config.via !== "") appendVia(head, config.via);
	const hasId = head.hasKnown(known["x-request-id"]);
	if (config.generateRequestId && (!hasId || (isEdge && !config.preserveExternalRequestId))) {
		if (hasId) head.removeKnown(known["x-request-id"]);
		const id = stream.context.createRequestId();
		head.appendOwn("x-request-id", id);
		stream.info.requestId = id;
	}
	stream.applyClientCertificate();
}

/** Whom the request is from, where there is more to know than the peer's address. */
function originOf({ downstream }: HttpStream, head: RequestHead, { config, internalRanges }: CompiledManager): RequestOrigin | undefined {
	if (!head.hasKnown(known["x-forwarded-for"]) && internalRanges.length === 0) return undefined;
	return resolveOrigin(head, downstream.remoteAddress, config.useRemoteAddress, config.xffNumTrustedHops, internalRanges);
}

/** What a trusted proxy in front has said of the port stays. */
function setForwardedPort(head: RequestHead, port: number, { useRemoteAddress, xffNumTrustedHops }: CompiledManager["config"]): void {
	const isTrusted = !useRemoteAddress || xffNumTrustedHops > 0;
	if (!isTrusted || !head.has("x-forwarded-port")) head.set("x-forwarded-port", String(port));
}

/** XFF, XFP and `:scheme`, and whom to take for the client. */
function setForwarded(stream: HttpStream, head: RequestHead, manager: CompiledManager, origin: RequestOrigin | undefined): void {
	const { config } = manager;
	const { downstream } = stream;
	const scheme = downstream.isTls ? "https" : "http";
	const client = origin?.clientAddress ?? "";
	if (client !== "" && client !== downstream.remoteAddress) stream.setClientAddress(client);
	if (config.useRemoteAddress) {
		if (!config.skipXffAppend) appendForwardedFor(head, downstream.info.directRemoteAddress, stream.context.machineAddress);
		if (config.xffNumTrustedHops === 0 || !head.hasKnown(known["x-forwarded-proto"])) head.set("x-forwarded-proto", scheme);
		if (manager.direction !== "outbound" && origin?.isInternal !== true) head.set("x-envoy-external-address", client || downstream.remoteAddress);
	} else if (!head.hasKnown(known["x-forwarded-proto"])) head.appendOwn("x-forwarded-proto", scheme);
	if (config.appendForwardedPort) setForwardedPort(head, downstream.localPort, config);
	if (config.schemeOverwrite !== undefined) head.set("x-forwarded-proto", config.schemeOverwrite);
	const proto = config.schemeOverwrite ?? (head.hasKnown(known["x-forwarded-proto"]) ? head.get("x-forwarded-proto") : scheme);
	head.scheme = proto === "https" ? "https" : proto === "http" ? "http" : scheme;
}
