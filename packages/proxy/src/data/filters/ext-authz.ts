import type { ExtAuthz, ExtAuthzSettings } from "../../config/external-authorization.ts";
import { isInFraction } from "../../config/runtime-values.ts";
import type { RequestHead } from "../codec/request-head.ts";
import { sendLocalReply } from "../http/local-reply.ts";
import { rerouteRequest } from "../http/route-selection.ts";
import type { HttpStream } from "../http/stream.ts";
import type { StreamFilter } from "../http/stream-filter.ts";
import { mergeMetadata } from "../log/stream-info.ts";
import { responseFlags } from "../log/response-flags.ts";
import { createCompileContext } from "../match/compile-context.ts";
import { compileMetadataMatch } from "../match/metadata-match.ts";
import { type Authorization, applyChange, changeQuery, type FieldChange } from "./authorization.ts";
import { createGrpcAuthorization } from "./ext-authz-grpc.ts";
import { createHttpAuthorization } from "./ext-authz-http.ts";
import type { Counter, FilterInputs } from "./filter-inputs.ts";

const namespace = "envoy.filters.http.ext_authz";
const countersMax = 4000;

/** Asks a service whether a request may pass. `contextExtensions`: of the route and what it is in, the most specific counts. */
export function compileExtAuthz(
	config: ExtAuthz,
	settings: ExtAuthzSettings | undefined,
	contextExtensions: Readonly<Record<string, string>>,
	{ context, index, errors, counter, rootCounter }: FilterInputs,
): StreamFilter {
	const compile = createCompileContext();
	const service =
		config.service.kind === "http"
			? createHttpAuthorization(config, config.service, compile)
			: createGrpcAuthorization(config, config.service, contextExtensions, compile);
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
			// As in Envoy: without a route there is nothing to ask about.
			if (stream.route === undefined && stream.routing !== "needsTls") return "continue";
			const isEnabled = isInFraction(context.runtime.share(config.enabled), context.random) && (isEnabledBy === undefined || isEnabledBy(info.dynamicMetadata));
			if (!isEnabled) {
				disabled();
				if (!context.runtime.isOn(config.denyAtDisable)) return "continue";
				return answerError(stream);
			}
			return bodySettings !== undefined && !stream.isRequestComplete && stream.upgrade === "" ? "buffer" : check(stream);
		},
		onRequestBuffered: check,
		onResponseHead({ response, filters }) {
			for (const change of (filters.states[index] as readonly FieldChange[] | undefined) ?? []) applyChange(response, change);
		},
	};

	function check(stream: HttpStream): "stop" {
		const { filters, request } = stream;
		let cancel = () => {};
		const resume = filters.suspend(() => cancel());
		const askedAt = context.nowMs();
		const all = filters.body;
		const body = bodySettings && all.subarray(0, bodySettings.bytesMax);
		const isPartial = body !== undefined && (body.length < all.length || request.contentLength > all.length);
		const onAnswer = filters.guard((answer: Authorization) => {
			if (answer.kind === "error") fail(stream, resume);
			else if (answer.kind === "ok") allow(stream, answer, askedAt, resume);
			else deny(stream, answer, askedAt);
		});
		cancel = service.ask(stream, { body, isPartial }, onAnswer);
		return "stop";
	}

	function allow(stream: HttpStream, answer: Extract<Authorization, { kind: "ok" }>, askedAt: number, resume: () => void): void {
		ok();
		countFor(stream, "ok");
		const { request, filters } = stream;
		for (const change of answer.request) applyToRequest(request, change);
		for (const name of answer.removed) if (isRemovable(name)) request.remove(name);
		if (answer.query !== undefined) request.path = changeQuery(request.path, answer.query);
		if (answer.response.length > 0) filters.states[index] = answer.response;
		keepMetadata(stream, answer.metadata, askedAt);
		if (config.clearRouteCache) rerouteRequest(stream);
		resume();
	}

	function keepMetadata({ info }: HttpStream, metadata: Readonly<Record<string, unknown>>, askedAt: number): void {
		if (Object.keys(metadata).length > 0) mergeMetadata(info, namespace, { ...metadata, ext_authz_duration: Math.round(context.nowMs() - askedAt) });
	}

	function deny(stream: HttpStream, { status, body, headers, metadata }: Extract<Authorization, { kind: "denied" }>, askedAt: number): void {
		denied();
		countFor(stream, "denied");
		// As in Envoy: the cluster that the request was for counts the answer, as one to an internal request.
		stream.cluster?.responseCodes.increment(status);
		stream.cluster?.origin(true).codes.increment(status);
		keepMetadata(stream, metadata, askedAt);
		sendLocalReply(stream, { status, body, flags: responseFlags.UAEX, details: "ext_authz_denied", headers });
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

/** Pseudo-header fields are not the service's to remove, nor is the host. */
function isRemovable(name: string): boolean {
	return !name.startsWith(":") && name !== "host";
}

function applyToRequest(request: RequestHead, change: FieldChange): void {
	switch (change.name) {
		case ":path":
			return void (request.path = change.value);
		case ":method":
			return void (request.method = change.value);
		case ":authority":
		case "host":
			return void (request.authority = change.value);
		case ":scheme":
			return;
		default:
			applyChange(request, change);
	}
}
