import type { ExtAuthz, ExtAuthzSettings } from "../../config/http-filters.ts";
import type { StringMatch } from "../../config/runtime-config.ts";
import type { ResponseHead } from "../codec/response-head.ts";
import { sendLocalReply } from "../http/local-reply.ts";
import { rerouteRequest } from "../http/route-selection.ts";
import type { HttpStream } from "../http/stream.ts";
import type { StreamFilter } from "../http/stream-filter.ts";
import { mergeMetadata } from "../log/stream-info.ts";
import { responseFlags } from "../log/response-flags.ts";
import { type CompileContext, createCompileContext } from "../match/compile-context.ts";
import { compileMetadataMatch } from "../match/metadata-match.ts";
import { isInFraction } from "../match/route-table.ts";
import { compileStringMatch, type StringPredicate } from "../match/string-match.ts";
import { AsyncRequest, type AsyncResult } from "../upstream/async-request.ts";
import type { Counter, FilterInputs } from "./filter-inputs.ts";

const namespace = "envoy.filters.http.ext_authz";
const answerBytesMax = 1024 * 1024;
const countersMax = 4000;
/** What the service is always told of a request, and what a client always hears of a refusal. */
const alwaysSent: ReadonlySet<string> = new Set(["authorization"]);
const alwaysTold: ReadonlySet<string> = new Set(["www-authenticate", "location"]);
const notForClients: ReadonlySet<string> = new Set(["content-length", "connection", "transfer-encoding", "date", "server", ":status"]);

interface Lists {
	readonly allowed: StringPredicate;
	readonly disallowed: StringPredicate;
	readonly upstream: StringPredicate;
	readonly upstreamAppend: StringPredicate;
	readonly client: StringPredicate | undefined;
	readonly clientOnSuccess: StringPredicate;
	readonly metadata: StringPredicate;
}

/** Asks a service over HTTP whether a request may pass: 200 lets it, another answer goes to the client, none is an error. */
export function compileExtAuthz(
	config: ExtAuthz,
	settings: ExtAuthzSettings | undefined,
	{ context, index, errors, counter, rootCounter }: FilterInputs,
): StreamFilter {
	const compile = createCompileContext();
	const lists = compileLists(config, compile);
	const isEnabledBy = config.enabledMetadata && compileMetadataMatch(config.enabledMetadata, compile);
	errors.push(...compile.errors);
	const prefix = config.statPrefix === "" ? "" : `${config.statPrefix}.`;
	const stat = (name: string) => counter(`ext_authz.${prefix}${name}`);
	const [ok, denied, error, disabled, failureModeAllowed] = [
		stat("ok"),
		stat("denied"),
		stat("error"),
		stat("disabled"),
		stat("failure_mode_allowed"),
	] as const;
	const byCluster = new Map<string, Counter>();
	/** Of the cluster that the request is for. */
	const countFor = ({ choice }: HttpStream, name: string) => {
		if (choice === undefined || choice.cluster === "") return;
		const key = `${choice.cluster} ${name}`;
		let own = byCluster.get(key);
		if (own === undefined && byCluster.size < countersMax) byCluster.set(key, (own = rootCounter(`cluster.${choice.cluster}.`, `ext_authz.${prefix}${name}`)));
		own?.();
	};
	const bodySettings = settings?.disableBody === true ? undefined : (settings?.body ?? config.body);
	return {
		...(bodySettings && { bufferBytesMax: bodySettings.bytesMax, allowsPartialBody: bodySettings.allowPartial }),
		onRequestHead(stream) {
			const { info } = stream;
			const isEnabled = isInFraction(config.enabled, context.random) && (isEnabledBy === undefined || isEnabledBy(info.dynamicMetadata));
			if (!isEnabled) {
				disabled();
				if (!config.denyAtDisable) return "continue";
				return answerError(stream);
			}
			return bodySettings !== undefined && !stream.isRequestComplete && stream.upgrade === "" ? "buffer" : check(stream);
		},
		onRequestBuffered: check,
		onResponseHead({ response, filters }) {
			const added = filters.states[index] as readonly string[] | undefined;
			for (let i = 0; i < (added?.length ?? 0); i += 2) response.append(added?.[i] as string, added?.[i + 1] as string);
		},
	};

	function check(stream: HttpStream): "stop" {
		const { filters, snapshot } = stream;
		let request: AsyncRequest | undefined;
		const resume = filters.suspend(() => request?.cancel());
		const cluster = snapshot.clusters.get(config.cluster);
		const askedAt = context.nowMs();
		const onResult = filters.guard((result: AsyncResult) => {
			if (result.kind === "failed" || result.response.status >= 500) fail(stream, resume);
			else if (result.response.status === 200) allow(stream, result.response, askedAt, resume);
			else deny(stream, result.response, result.body);
		});
		if (cluster === undefined) stream.router.delay(1, () => onResult({ kind: "failed", reason: "cluster not found" }));
		else request = new AsyncRequest(cluster, describe(stream), onResult);
		return "stop";
	}

	/** The request as the service sees it: its method and path, what headers are allowed, and what there is of its body. */
	function describe({ request, filters }: HttpStream) {
		const headers: string[] = [];
		request.forEach((name, value) => {
			if (name === "content-length" || (!alwaysSent.has(name) && !lists.allowed(name)) || lists.disallowed(name)) return;
			headers.push(name, value);
		});
		for (const { name, value } of config.headersToAdd) headers.push(name, value);
		const all = filters.body;
		const body = bodySettings === undefined ? all : all.subarray(0, bodySettings.bytesMax);
		if (all.length > 0 && bodySettings !== undefined)
			headers.push("x-envoy-auth-partial-body", String(body.length < all.length || request.contentLength > all.length));
		// An answer without a body is expected, so nothing is lost by saying so.
		if (body.length === 0) headers.push("content-length", "0");
		return {
			method: request.method,
			path: config.pathPrefix + request.path,
			authority: request.authority || config.authority,
			headers,
			body,
			timeoutMs: config.timeoutMs,
			bodyBytesMax: answerBytesMax,
		};
	}

	function allow(stream: HttpStream, answer: ResponseHead, askedAt: number, resume: () => void): void {
		ok();
		countFor(stream, "ok");
		const { request, info, filters } = stream;
		const forClient: string[] = [];
		const metadata: Record<string, unknown> = {};
		answer.forEach((name, value) => {
			if (lists.upstreamAppend(name)) request.append(name, value);
			else if (lists.upstream(name)) request.set(name, value);
			if (lists.clientOnSuccess(name)) forClient.push(name, value);
			if (lists.metadata(name)) metadata[name] = value;
		});
		if (forClient.length > 0) filters.states[index] = forClient;
		if (Object.keys(metadata).length > 0) mergeMetadata(info, namespace, { ...metadata, ext_authz_duration: Math.round(context.nowMs() - askedAt) });
		if (config.clearRouteCache) rerouteRequest(stream);
		resume();
	}

	function deny(stream: HttpStream, answer: ResponseHead, body: Buffer): void {
		denied();
		countFor(stream, "denied");
		const headers: string[] = [];
		answer.forEach((name, value) => {
			if (notForClients.has(name)) return;
			if (lists.client === undefined || alwaysTold.has(name) || lists.client(name)) headers.push(name, value);
		});
		sendLocalReply(stream, { status: answer.status, body, flags: responseFlags.UAEX, details: "ext_authz_denied", headers });
	}

	function fail(stream: HttpStream, resume: () => void): void {
		error();
		countFor(stream, "error");
		if (!config.failureModeAllow) return void answerError(stream);
		failureModeAllowed();
		countFor(stream, "failure_mode_allowed");
		if (config.failureModeAllowHeaderAdd) stream.request.set("x-envoy-auth-failure-mode-allowed", "true");
		resume();
	}

	function answerError(stream: HttpStream): "stop" {
		sendLocalReply(stream, { status: config.statusOnError, body: "", flags: responseFlags.UAEX, details: "ext_authz_error" });
		return "stop";
	}
}

function compileLists(config: ExtAuthz, compile: CompileContext): Lists {
	const anyOf = (matches: readonly StringMatch[]): StringPredicate => {
		const tests = matches.map((match) => compileStringMatch(match, compile));
		return (name) => tests.some((test) => test(name));
	};
	return {
		allowed: anyOf(config.allowedHeaders),
		disallowed: anyOf(config.disallowedHeaders),
		upstream: anyOf(config.allowedUpstreamHeaders),
		upstreamAppend: anyOf(config.allowedUpstreamHeadersToAppend),
		client: config.allowedClientHeaders.length === 0 ? undefined : anyOf(config.allowedClientHeaders),
		clientOnSuccess: anyOf(config.allowedClientHeadersOnSuccess),
		metadata: anyOf(config.metadataFromHeaders),
	};
}
