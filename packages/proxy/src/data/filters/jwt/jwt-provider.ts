import type { JwtProvider } from "../../../config/jwt-authentication.ts";
import { mergeMetadata } from "../../log/stream-info.ts";
import type { CompileContext } from "../../match/compile-context.ts";
import { compileStringMatch, type StringPredicate } from "../../match/string-match.ts";
import type { HttpStream } from "../../http/stream.ts";
import type { WorkerContext } from "../../worker/context.ts";
import type { Counter } from "../filter-inputs.ts";
import type { Jwks } from "./jwks.ts";
import { type Jwt, parseJwt } from "./jwt.ts";
import { compileExtractor, type FoundToken } from "./jwt-extractor.ts";
import { createJwtKeys, type JwtKeys } from "./jwt-keys.ts";
import { type JwtFailure, jwtStatus } from "./jwt-status.ts";

export const jwtNamespace = "envoy.filters.http.jwt_authn";
const cacheSizeDefault = 100;
/** Longer tokens are verified each time. */
const cachedTokenBytesMax = 4096;

export interface JwtCounters {
	readonly allowed: Counter;
	readonly denied: Counter;
	readonly bypassed: Counter;
	readonly fetchSuccess: Counter;
	readonly fetchFailed: Counter;
	readonly cacheHit: Counter;
	readonly cacheMiss: Counter;
}

/** One issuer's tokens: what is checked, and what a good one does to the request. */
export class ProviderRuntime {
	readonly config: JwtProvider;
	readonly extract: (head: HttpStream["request"], found: FoundToken[]) => void;
	readonly #keys: JwtKeys;
	readonly #subject: StringPredicate | undefined;
	readonly #context: WorkerContext;
	readonly #counters: JwtCounters;
	/** Tokens whose signature was good, oldest first. */
	readonly #verified = new Map<string, { readonly jwt: Jwt; readonly keys: Jwks }>();

	constructor(config: JwtProvider, context: WorkerContext, counters: JwtCounters, compile: CompileContext) {
		this.config = config;
		this.#context = context;
		this.#counters = counters;
		this.#subject = config.subjects && compileStringMatch(config.subjects, compile);
		this.extract = compileExtractor(config);
		this.#keys = createJwtKeys(config, context, { success: counters.fetchSuccess, failed: counters.fetchFailed });
	}

	/** Asks for the keys, and says what is wrong with the token, or undefined. May answer at once; gives a function that calls it off. */
	verify(stream: HttpStream, found: FoundToken, jwt: Jwt, audiences: readonly string[], onDone: (failure: JwtFailure | undefined) => void): () => void {
		const wrong = this.#checkClaims(jwt, audiences);
		if (wrong !== undefined) {
			onDone(wrong);
			return () => {};
		}
		return this.#keys.get((keys) => {
			const failure = typeof keys === "string" ? keys : this.#verifySignature(found.token, jwt, keys);
			if (failure === undefined) this.#accept(stream, found, jwt);
			onDone(failure);
		});
	}

	#checkClaims(jwt: Jwt, audiences: readonly string[]): JwtFailure | undefined {
		const { clockSkewSeconds, requireExpiration, maxLifetimeMs } = this.config;
		const now = Math.floor(this.#context.wallMs() / 1000);
		if (jwt.notBefore !== undefined && now + clockSkewSeconds < jwt.notBefore) return jwtStatus.notYetValid;
		// An expiry of 0 is none, as in Envoy.
		if (jwt.expires !== undefined && jwt.expires !== 0 && now > jwt.expires + clockSkewSeconds) return jwtStatus.expired;
		if (requireExpiration && jwt.expires === undefined) return jwtStatus.verificationFails;
		if (maxLifetimeMs > 0 && !(jwt.expires !== undefined && jwt.expires - now <= maxLifetimeMs / 1000)) return jwtStatus.verificationFails;
		if (this.#subject !== undefined && !this.#subject(jwt.subject)) return jwtStatus.verificationFails;
		return audiences.length === 0 || jwt.audiences.some((audience) => audiences.some((wanted) => isSameAudience(audience, wanted)))
			? undefined
			: jwtStatus.audience;
	}

	#verifySignature(token: string, jwt: Jwt, keys: Jwks): JwtFailure | undefined {
		if (this.#verified.get(token)?.keys === keys) return undefined;
		const failure = keys.verify(jwt);
		if (failure === undefined && token.length <= cachedTokenBytesMax) this.#remember(token, jwt, keys);
		return failure;
	}

	#remember(token: string, jwt: Jwt, keys: Jwks): void {
		this.#verified.set(token, { jwt, keys });
		if (this.#verified.size <= (this.config.cacheSize || cacheSizeDefault)) return;
		for (const oldest of this.#verified.keys()) {
			this.#verified.delete(oldest);
			return;
		}
	}

	/** A token seen before need not be taken apart again. Hits are told of only where the configuration asks for a cache. */
	parse(token: string, isCounted: boolean): Jwt | JwtFailure {
		const known = this.#verified.get(token);
		if (isCounted) (known !== undefined && this.config.cacheSize > 0 ? this.#counters.cacheHit : this.#counters.cacheMiss)();
		return known?.jwt ?? parseJwt(token);
	}

	#accept({ request, info }: HttpStream, found: FoundToken, jwt: Jwt): void {
		const { config } = this;
		if (config.forwardPayloadHeader !== "") {
			const pad = config.padForwardPayloadHeader ? "=".repeat((4 - (jwt.payloadText.length % 4)) % 4) : "";
			request.append(config.forwardPayloadHeader, jwt.payloadText + pad);
		}
		for (const { header, claim } of config.claimToHeaders) {
			const text = claimText(readClaim(jwt.payload, claim));
			if (text !== undefined) request.append(header, text);
		}
		if (config.headerInMetadata !== "") mergeMetadata(info, jwtNamespace, { [config.headerInMetadata]: jwt.header });
		if (config.payloadInMetadata !== "")
			mergeMetadata(info, jwtNamespace, { [config.payloadInMetadata]: splitClaims(jwt.payload, config.spaceDelimitedClaims) });
		if (!config.forward) found.remove(request);
	}

	/** What the request says of claims by itself must not be taken for what a token proved. */
	sanitize({ request }: HttpStream): void {
		if (this.config.forwardPayloadHeader !== "") request.remove(this.config.forwardPayloadHeader);
		for (const { header } of this.config.claimToHeaders) request.remove(header);
	}

	close(): void {
		this.#keys.close();
	}
}

/** As Envoy compares them: without the scheme, and without a slash at the end. */
function isSameAudience(a: string, b: string): boolean {
	return sanitizeAudience(a) === sanitizeAudience(b);
}

function sanitizeAudience(audience: string): string {
	return audience.replace(/^https?:\/\//, "").replace(/\/$/, "");
}

/** Claims that list words separated by spaces become lists. */
function splitClaims(payload: Readonly<Record<string, unknown>>, names: readonly string[]): Readonly<Record<string, unknown>> {
	if (names.length === 0) return payload;
	return Object.fromEntries(
		Object.entries(payload).map(([name, value]) => [
			name,
			names.includes(name) && typeof value === "string" ? value.split(" ").filter((word) => word !== "") : value,
		]),
	);
}

/** `a.b` is a claim inside a claim. */
function readClaim(payload: Readonly<Record<string, unknown>>, name: string): unknown {
	if (Object.hasOwn(payload, name)) return payload[name];
	let at: unknown = payload;
	for (const key of name.split(".")) {
		if (typeof at !== "object" || at === null || !Object.hasOwn(at, key)) return undefined;
		at = (at as Readonly<Record<string, unknown>>)[key];
	}
	return at;
}

/** Lists and objects as base64 of their JSON, fractions with the six digits of C++. */
function claimText(value: unknown): string | undefined {
	switch (typeof value) {
		case "string":
			return value;
		case "boolean":
			return String(value);
		case "number":
			return Number.isInteger(value) ? String(value) : value.toFixed(6);
		case "object":
			return value === null ? undefined : Buffer.from(JSON.stringify(value)).toString("base64");
		default:
			return undefined;
	}
}
