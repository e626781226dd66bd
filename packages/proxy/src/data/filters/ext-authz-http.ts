import type { ExtAuthz, ExtAuthzHttp } from "../../config/external-authorization.ts";
import type { StringMatch } from "../../config/matchers.ts";
import type { ResponseHead } from "../codec/response-head.ts";
import type { HttpStream } from "../http/stream.ts";
import type { CompileContext } from "../match/compile-context.ts";
import { compileStringMatch, type StringPredicate } from "../match/string-match.ts";
import { AsyncRequest, type AsyncRequestInit, type AsyncResult } from "../upstream/async-request.ts";
import type { Authorization, AuthorizationQuestion, AuthorizationService, FieldChange } from "./authorization.ts";

const answerBytesMax = 1024 * 1024;
/** What the service is always told of a request, and what a client always hears of a refusal. */
const alwaysSent: ReadonlySet<string> = new Set(["authorization"]);
const alwaysTold: ReadonlySet<string> = new Set(["www-authenticate", "location"]);
const notForClients: ReadonlySet<string> = new Set(["content-length", "connection", "transfer-encoding", "date", "server", ":status"]);

export function anyOf(matches: readonly StringMatch[], compile: CompileContext): StringPredicate {
	const tests = matches.map((match) => compileStringMatch(match, compile));
	return (name) => tests.some((test) => test(name));
}

/** A service over HTTP: 200 lets the request pass, another answer goes to the client, 5xx and none are errors. */
export function createHttpAuthorization(config: ExtAuthz, service: ExtAuthzHttp, compile: CompileContext): AuthorizationService {
	const allowed = anyOf(config.allowedHeaders, compile);
	const disallowed = anyOf(config.disallowedHeaders, compile);
	const upstream = anyOf(service.allowedUpstreamHeaders, compile);
	const upstreamAppend = anyOf(service.allowedUpstreamHeadersToAppend, compile);
	const client = service.allowedClientHeaders.length === 0 ? undefined : anyOf(service.allowedClientHeaders, compile);
	const clientOnSuccess = anyOf(service.allowedClientHeadersOnSuccess, compile);
	const forMetadata = anyOf(service.metadataFromHeaders, compile);
	return {
		ask(stream, question, onAnswer) {
			const cluster = stream.snapshot.clusters.get(service.cluster);
			if (cluster === undefined) {
				let isCancelled = false;
				stream.router.delay(1, () => isCancelled || onAnswer({ kind: "error" }));
				return () => void (isCancelled = true);
			}
			const request = new AsyncRequest(cluster, describe(stream, question), (result) => onAnswer(read(result)));
			return () => request.cancel();
		},
	};

	/** The request as the service sees it: its method and path, what headers are allowed, and what there is of its body. */
	function describe({ request, filters }: HttpStream, { body: wanted, isPartial }: AuthorizationQuestion): AsyncRequestInit {
		const headers: string[] = [];
		request.forEach((name, value) => {
			if (name === "content-length" || (!alwaysSent.has(name) && !allowed(name)) || disallowed(name)) return;
			headers.push(name, value);
		});
		for (const { name, value } of service.headersToAdd) headers.push(name, value);
		const body = wanted ?? filters.body;
		if (wanted !== undefined && body.length > 0) headers.push("x-envoy-auth-partial-body", String(isPartial));
		// An answer without a body is expected, so nothing is lost by saying so.
		if (body.length === 0) headers.push("content-length", "0");
		return {
			method: request.method,
			path: service.pathPrefix + request.path,
			authority: request.authority || service.authority,
			headers,
			body,
			timeoutMs: service.timeoutMs,
			bodyBytesMax: answerBytesMax,
		};
	}

	function read(result: AsyncResult): Authorization {
		if (result.kind === "failed" || result.response.status >= 500) return { kind: "error" };
		return result.response.status === 200 ? readOk(result.response) : readDenied(result.response, result.body);
	}

	function readOk(answer: ResponseHead): Authorization {
		const request: FieldChange[] = [];
		const response: FieldChange[] = [];
		const metadata: Record<string, unknown> = {};
		answer.forEach((name, value) => {
			if (upstreamAppend(name)) request.push({ name, value, action: "append" });
			else if (upstream(name)) request.push({ name, value, action: "set" });
			if (clientOnSuccess(name)) response.push({ name, value, action: "append" });
			if (forMetadata(name)) metadata[name] = value;
		});
		return { kind: "ok", request, removed: [], response, query: undefined, metadata };
	}

	function readDenied(answer: ResponseHead, body: Buffer): Authorization {
		const headers: string[] = [];
		answer.forEach((name, value) => {
			if (notForClients.has(name)) return;
			if (client === undefined || alwaysTold.has(name) || client(name)) headers.push(name, value);
		});
		return { kind: "denied", status: answer.status, headers, body, metadata: {} };
	}
}
