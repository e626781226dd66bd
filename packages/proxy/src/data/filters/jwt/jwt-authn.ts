import type { JwtAuthentication } from "../../../config/jwt-authentication.ts";
import { sendLocalReply } from "../../http/local-reply.ts";
import { filterStateObject } from "../../log/filter-state.ts";
import { rerouteRequest } from "../../http/route-selection.ts";
import type { HttpStream } from "../../http/stream.ts";
import type { FilterVerdict, StreamFilter } from "../../http/stream-filter.ts";
import { createCompileContext } from "../../match/compile-context.ts";
import { compileRequestMatch } from "../../match/request-match.ts";
import type { FilterInputs } from "../filter-inputs.ts";
import { type JwtCounters, ProviderRuntime } from "./jwt-provider.ts";
import { compileRequirement, type JwtAttempt, type VerifyJwt } from "./jwt-requirement.ts";
import { type JwtFailure, jwtStatus } from "./jwt-status.ts";

interface Runtime {
	readonly providers: ReadonlyMap<string, ProviderRuntime>;
	readonly counters: JwtCounters;
	/** undefined: nothing is required. */
	find(stream: HttpStream): VerifyJwt | undefined;
	readonly named: ReadonlyMap<string, VerifyJwt>;
}

/** Chains of one connection manager share what was fetched and verified. */
const runtimes = new WeakMap<JwtAuthentication, Map<string, Runtime>>();

/** `requirementName`: what a route asks for instead of the rules. */
export function compileJwtAuthn(config: JwtAuthentication, requirementName: string | undefined, inputs: FilterInputs): StreamFilter {
	const runtime = runtimeOf(config, inputs);
	const own = requirementName === undefined ? undefined : runtime.named.get(requirementName);
	const { counters } = runtime;
	return {
		onRequestHead(stream): FilterVerdict {
			const { filters } = stream;
			if (config.bypassCorsPreflight && isPreflight(stream)) {
				counters.bypassed();
				counters.allowed();
				return "continue";
			}
			const { path } = stream.request;
			if (requirementName !== undefined && own === undefined) return denyUnknown(stream, requirementName, config, runtime);
			const verify = own ?? runtime.find(stream);
			if (verify === undefined) {
				counters.allowed();
				return "continue";
			}
			for (const provider of runtime.providers.values()) provider.sanitize(stream);
			const attempt: JwtAttempt = { cancel: () => {}, clearsRoute: false };
			let outcome: { readonly failure: JwtFailure | undefined } | undefined;
			let resume: (() => void) | undefined;
			const finish = (): FilterVerdict => {
				if (outcome?.failure !== undefined) return deny(stream, path, config, counters, outcome.failure);
				counters.allowed();
				if (attempt.clearsRoute) rerouteRequest(stream);
				return "continue";
			};
			const onDone = filters.guard((failure: JwtFailure | undefined) => {
				outcome = { failure };
				if (resume !== undefined && finish() === "continue") resume();
			});
			verify(stream, attempt, onDone);
			if (outcome !== undefined) return finish();
			resume = filters.suspend(() => attempt.cancel());
			return "stop";
		},
	};
}

function runtimeOf(config: JwtAuthentication, { context, counter, errors, statPrefix, onClose }: FilterInputs): Runtime {
	const known = runtimes.get(config)?.get(statPrefix);
	if (known !== undefined) return known;
	const compile = createCompileContext();
	const counters: JwtCounters = {
		allowed: counter("jwt_authn.allowed"),
		denied: counter("jwt_authn.denied"),
		bypassed: counter("jwt_authn.cors_preflight_bypassed"),
		fetchSuccess: counter("jwt_authn.jwks_fetch_success"),
		fetchFailed: counter("jwt_authn.jwks_fetch_failed"),
		cacheHit: counter("jwt_authn.jwt_cache_hit"),
		cacheMiss: counter("jwt_authn.jwt_cache_miss"),
	};
	const providers = new Map(Object.entries(config.providers).map(([name, provider]) => [name, new ProviderRuntime(provider, context, counters, compile)]));
	const rules = config.rules.map(({ match, requirement }) => ({
		matches: compileRequestMatch(match, compile, context.runtime),
		verify: requirement && compileRequirement(requirement, providers),
	}));
	const byState = new Map(
		Object.entries(config.filterStateRules?.requirements ?? {}).map(([value, requirement]) => [value, compileRequirement(requirement, providers)]),
	);
	const stateKey = config.filterStateRules?.key;
	errors.push(...compile.errors);
	const runtime: Runtime = {
		providers,
		counters,
		named: new Map(Object.entries(config.requirements).map(([name, requirement]) => [name, compileRequirement(requirement, providers)])),
		find({ request, info, context: { random } }) {
			for (const { matches, verify } of rules) if (matches(request, info, random)) return verify;
			return stateKey === undefined ? undefined : byState.get(filterStateObject(info, stateKey)?.text ?? "");
		},
	};
	onClose(() => {
		for (const provider of providers.values()) provider.close();
	});
	const byPrefix = runtimes.get(config) ?? new Map<string, Runtime>();
	byPrefix.set(statPrefix, runtime);
	runtimes.set(config, byPrefix);
	return runtime;
}

function isPreflight({ request }: HttpStream): boolean {
	return request.method === "OPTIONS" && (request.get("origin") ?? "") !== "" && (request.get("access-control-request-method") ?? "") !== "";
}

/** As much of the URL as a challenge tells. */
const realmPathMax = 256;

function deny(stream: HttpStream, path: string, config: JwtAuthentication, counters: JwtCounters, failure: JwtFailure): "stop" {
	counters.denied();
	const { request } = stream;
	const status = failure === jwtStatus.audience ? 403 : 401;
	const realm = `Bearer realm="${request.scheme}://${request.authority}${path.slice(0, realmPathMax)}"`;
	const challenge = failure === jwtStatus.missing ? realm : `${realm}, error="invalid_token"`;
	const details = `jwt_authn_access_denied{${failure.replace(/\s/g, "_")}}`;
	if (config.stripFailureResponse) sendLocalReply(stream, { status, body: "", flags: 0, details });
	else sendLocalReply(stream, { status, body: failure, flags: 0, details, headers: ["www-authenticate", challenge] });
	return "stop";
}

function denyUnknown(stream: HttpStream, name: string, config: JwtAuthentication, { counters, named }: Runtime): "stop" {
	counters.denied();
	const failure = `Wrong requirement_name: ${name}. It should be one of [${[...named.keys()].join(",")}]`;
	const details = `jwt_authn_access_denied{${failure.replace(/\s/g, "_")}}`;
	sendLocalReply(stream, { status: 403, body: config.stripFailureResponse ? "" : `Failed JWT authentication: ${failure}`, flags: 0, details });
	return "stop";
}
