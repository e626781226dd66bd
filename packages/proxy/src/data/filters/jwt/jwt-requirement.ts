import type { JwtRequirement } from "../../../config/jwt-authentication.ts";
import type { HttpStream } from "../../http/stream.ts";
import { mergeMetadata } from "../../log/stream-info.ts";
import type { FoundToken } from "./jwt-extractor.ts";
import { jwtNamespace, type ProviderRuntime } from "./jwt-provider.ts";
import { failureCode, type JwtFailure, jwtStatus } from "./jwt-status.ts";

/** Of one request; calls off what is waited for. */
export interface JwtAttempt {
	cancel: () => void;
	/** A good token asks for the route to be looked for again. */
	clearsRoute: boolean;
}

/** Answers once, at once or later, with what is wrong or undefined. */
export type VerifyJwt = (stream: HttpStream, attempt: JwtAttempt, onDone: (failure: JwtFailure | undefined) => void) => void;

type Providers = ReadonlyMap<string, ProviderRuntime>;

/** How to go about a missing or a bad token. */
type Leniency = "strict" | "allowMissing" | "allowFailed";

export function compileRequirement(requirement: JwtRequirement, providers: Providers): VerifyJwt {
	switch (requirement.kind) {
		case "provider": {
			const provider = providers.get(requirement.name);
			if (provider === undefined) return (_stream, _attempt, onDone) => onDone(jwtStatus.unknownIssuer);
			return verifyTokens([provider], "strict", provider, requirement.audiences);
		}
		case "allowMissing":
			return verifyTokens([...providers.values()], "allowMissing");
		case "allowMissingOrFailed":
			return verifyTokens([...providers.values()], "allowFailed");
		case "all":
			return allOf(requirement.requirements.map((inner) => compileRequirement(inner, providers)));
		case "any":
			return compileAny(requirement.requirements, providers);
	}
}

/** Beside providers, "may be missing" speaks of the tokens of those providers alone. */
function compileAny(requirements: readonly JwtRequirement[], providers: Providers): VerifyJwt {
	const lenient = requirements.filter(({ kind }) => kind === "allowMissing" || kind === "allowMissingOrFailed");
	const strict = requirements.filter((requirement) => !lenient.includes(requirement));
	const tests = strict.map((inner) => compileRequirement(inner, providers));
	if (lenient.length === 0) return anyOf(tests);
	const used = [...new Set(strict.flatMap(namesIn))].map((name) => providers.get(name)).filter((provider) => provider !== undefined);
	const leniency = lenient.some(({ kind }) => kind === "allowMissingOrFailed") ? "allowFailed" : "allowMissing";
	return anyOf([...tests, verifyTokens(used.length === 0 ? [...providers.values()] : used, leniency)]);
}

function namesIn(requirement: JwtRequirement): readonly string[] {
	if (requirement.kind === "provider") return [requirement.name];
	return requirement.kind === "any" || requirement.kind === "all" ? requirement.requirements.flatMap(namesIn) : [];
}

function anyOf(tests: readonly VerifyJwt[]): VerifyJwt {
	return (stream, attempt, onDone) => {
		// A token that is there and bad says more than one that is missing.
		let worst: JwtFailure = jwtStatus.missing;
		const next = (i: number): void => {
			const test = tests[i];
			if (test === undefined) return onDone(worst);
			test(stream, attempt, (failure) => {
				if (failure === undefined) return onDone(undefined);
				if (failure !== jwtStatus.missing && (failure !== jwtStatus.unknownIssuer || worst === jwtStatus.missing)) worst = failure;
				next(i + 1);
			});
		};
		next(0);
	};
}

function allOf(tests: readonly VerifyJwt[]): VerifyJwt {
	return (stream, attempt, onDone) => {
		const next = (i: number): void => {
			const test = tests[i];
			if (test === undefined) return onDone(undefined);
			test(stream, attempt, (failure) => (failure === undefined ? next(i + 1) : onDone(failure)));
		};
		next(0);
	};
}

/** All tokens that are found must be good: a request with a good and a bad one could show the bad one to whoever reads only that. */
function verifyTokens(providers: readonly ProviderRuntime[], leniency: Leniency, only?: ProviderRuntime, audiences?: readonly string[]): VerifyJwt {
	return (stream, attempt, onDone) => {
		const found: FoundToken[] = [];
		for (const provider of providers) provider.extract(stream.request, found);
		if (found.length === 0) {
			if (leniency !== "strict") return onDone(undefined);
			for (const provider of providers) noteFailure(stream, provider, jwtStatus.missing);
			return onDone(jwtStatus.missing);
		}
		const next = (i: number): void => {
			// The last found comes first, as in Envoy.
			const token = found[found.length - 1 - i];
			if (token === undefined) return onDone(undefined);
			verifyOne(stream, attempt, token, (failure) => {
				if (failure === undefined || leniency === "allowFailed") return next(i + 1);
				onDone(failure);
			});
		};
		next(0);
	};

	function verifyOne(stream: HttpStream, attempt: JwtAttempt, found: FoundToken, onDone: (failure: JwtFailure | undefined) => void): void {
		const own = providers.find(({ config }) => config === found.provider) as ProviderRuntime;
		const done = (provider: ProviderRuntime, failure: JwtFailure | undefined) => {
			if (failure !== undefined) noteFailure(stream, provider, failure);
			else if (provider.config.clearRouteCache) attempt.clearsRoute = true;
			onDone(failure);
		};
		const jwt = own.parse(found.token, leniency === "strict");
		if (typeof jwt === "string") return done(own, jwt);
		const provider = only ?? providers.find(({ config }) => config.issuer === jwt.issuer) ?? providers.find(({ config }) => config.issuer === "");
		// A token counts only where its issuer's tokens are looked for.
		if (provider === undefined || (provider.config.issuer !== "" && provider.config.issuer !== jwt.issuer)) return done(own, jwtStatus.unknownIssuer);
		if (found.provider !== provider.config && found.provider.issuer !== "" && found.provider.issuer !== jwt.issuer) return done(own, jwtStatus.unknownIssuer);
		attempt.cancel = provider.verify(stream, found, jwt, audiences ?? provider.config.audiences, (failure) => done(provider, failure));
	}
}

function noteFailure({ info }: HttpStream, { config }: ProviderRuntime, failure: JwtFailure): void {
	if (config.failedStatusInMetadata === "") return;
	mergeMetadata(info, jwtNamespace, { [config.failedStatusInMetadata]: { code: failureCode(failure), message: failure } });
}
