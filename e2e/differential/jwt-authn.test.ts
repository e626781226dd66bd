import { constants, createHmac, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { httpFilter } from "./config.ts";
import { get, runScenarios, type Scenario } from "./scenarios.ts";

type Json = Readonly<Record<string, unknown>>;

const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
const otherRsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
const ec = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
const ec384 = generateKeyPairSync("ec", { namedCurve: "secp384r1" });
const ed = generateKeyPairSync("ed25519");
const secret = Buffer.from("0123456789abcdef0123456789abcdef");

const jwk = (key: KeyObject, more: Json = {}) => ({ ...key.export({ format: "jwk" }), ...more });
const keySet = JSON.stringify({
	keys: [
		jwk(rsa.publicKey, { kid: "rsa" }),
		jwk(ec.publicKey, { kid: "ec", alg: "ES256" }),
		jwk(ec384.publicKey, { kid: "ec384" }),
		jwk(ed.publicKey, { kid: "ed" }),
		{ kty: "oct", kid: "hs", alg: "HS256", k: secret.toString("base64url") },
		{ kty: "nonsense", kid: "x" },
	],
});

const base64 = (value: unknown) => Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");

function signature(alg: string, data: string, key: KeyObject | Buffer): Buffer {
	const hash = `sha${alg.slice(2)}`;
	const bytes = Buffer.from(data);
	if (Buffer.isBuffer(key)) return createHmac(hash, key).update(bytes).digest();
	if (alg === "EdDSA") return sign(undefined, bytes, key);
	if (alg.startsWith("ES")) return sign(hash, bytes, { key, dsaEncoding: "ieee-p1363" });
	if (alg.startsWith("PS")) return sign(hash, bytes, { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST });
	return sign(hash, bytes, key);
}

const now = Math.floor(Date.now() / 1000);
const claims = {
	iss: "https://a.test",
	sub: "alice",
	aud: "svc",
	exp: now + 3600,
	groups: ["x", "y"],
	nested: { deep: 7 },
	admin: true,
	scope: "read write",
	ratio: 0.5,
};

interface TokenParts {
	readonly alg?: string;
	readonly kid?: string;
	readonly key?: KeyObject | Buffer;
}

function token(payload: unknown = claims, { alg = "RS256", kid = "rsa", key = rsa.privateKey }: TokenParts = {}): string {
	const data = `${base64({ alg, typ: "JWT", ...(kid !== "" && { kid }) })}.${base64(payload)}`;
	return `${data}.${signature(alg, data, key).toString("base64url")}`;
}

const bearer = (text: string, more = "") => get("/", `authorization: Bearer ${text}\r\n${more}`);
const filter = (config: Json) => httpFilter("envoy.filters.http.jwt_authn", "jwt_authn.v3.JwtAuthentication", config);
const provider = (more: Json = {}) => ({ issuer: "https://a.test", local_jwks: { inline_string: keySet }, ...more });
const always = (requires: Json) => [{ match: { prefix: "/" }, requires }];
const named = { provider_name: "p" };
const one = (more: Json = {}, rest: Json = {}) => filter({ providers: { p: provider(more) }, rules: always(named), ...rest });

const good = token();
const bad = `${good.slice(0, -8)}AAAAAAAA`;
const other = token({ ...claims, iss: "https://b.test" });

const scenarios: Readonly<Record<string, Scenario>> = {
	plain: {
		filters: [one()],
		requests: {
			missing: get("/path?q=1"),
			good: bearer(good),
			"in the query": get(`/p?a=b&access_token=${good}&c=d`),
			"the only parameter": get(`/p?access_token=${good}`),
			"with the wrong scheme": get("/", `authorization: Basic ${good}\r\n`),
			"two spaces": get("/", `authorization: Bearer  ${good}\r\n`),
			"nothing behind the scheme": get("/", "authorization: Bearer \r\n"),
			"only stops": bearer(".."),
			"a long path": get(`/${"p".repeat(300)}`),
			"a lower-case scheme": get("/", `authorization: bearer ${good}\r\n`),
			"something after it": bearer(`${good} and more`),
			"bad signature": bearer(bad),
			"two of three parts": bearer("a.b"),
			"no base64": bearer("%.b.c"),
			"header is no JSON": bearer(`${base64("{")}.${base64({})}.c2ln`),
			"no algorithm": bearer(`${base64({})}.${base64({})}.c2ln`),
			"algorithm none": bearer(`${base64({ alg: "none" })}.${base64(claims)}.c2ln`),
			"kid is a number": bearer(`${base64({ alg: "RS256", kid: 1 })}.${base64(claims)}.c2ln`),
			"payload is no JSON": bearer(`${base64({ alg: "RS256" })}.${base64("x")}.c2ln`),
			"issuer is a number": bearer(token({ ...claims, iss: 1 })),
			"expiry is text": bearer(token({ ...claims, exp: "soon" })),
			"a negative expiry": bearer(token({ ...claims, exp: -1 })),
			"audience is a number": bearer(token({ ...claims, aud: 3 })),
			"signature is no base64": bearer(`${base64({ alg: "RS256" })}.${base64(claims)}.%`),
			"another issuer": bearer(other),
			"no issuer": bearer(token({ ...claims, iss: undefined })),
			expired: bearer(token({ ...claims, exp: now - 120 })),
			"expired within the skew": bearer(token({ ...claims, exp: now - 30 })),
			"not yet valid": bearer(token({ ...claims, nbf: now + 120 })),
			"soon valid, within the skew": bearer(token({ ...claims, nbf: now + 30 })),
			"expiry 0": bearer(token({ ...claims, exp: 0 })),
			"no expiry": bearer(token({ ...claims, exp: undefined })),
			"unknown kid": bearer(token(claims, { kid: "zzz" })),
			"no kid": bearer(token(claims, { kid: "" })),
			"another key of the same kind": bearer(token(claims, { key: otherRsa.privateKey })),
			"expired and badly signed": bearer(token({ ...claims, exp: now - 120 }, { key: otherRsa.privateKey })),
			"gRPC is told so": get("/", "content-type: application/grpc\r\n"),
		},
	},
	algorithms: {
		filters: [one()],
		requests: {
			RS384: bearer(token(claims, { alg: "RS384" })),
			RS512: bearer(token(claims, { alg: "RS512" })),
			PS256: bearer(token(claims, { alg: "PS256" })),
			PS512: bearer(token(claims, { alg: "PS512" })),
			ES256: bearer(token(claims, { alg: "ES256", kid: "ec", key: ec.privateKey })),
			ES384: bearer(token(claims, { alg: "ES384", kid: "ec384", key: ec384.privateKey })),
			EdDSA: bearer(token(claims, { alg: "EdDSA", kid: "ed", key: ed.privateKey })),
			HS256: bearer(token(claims, { alg: "HS256", kid: "hs", key: secret })),
			"HS384 with a key for HS256": bearer(token(claims, { alg: "HS384", kid: "hs", key: secret })),
			"HMAC with the public key": bearer(token(claims, { alg: "HS256", kid: "rsa", key: Buffer.from(rsa.publicKey.export({ type: "spki", format: "pem" })) })),
			"RSA with the name of an EC key": bearer(token(claims, { alg: "RS256", kid: "ec" })),
			"ES256 with a key for ES384": bearer(token(claims, { alg: "ES256", kid: "ec384", key: ec.privateKey })),
		},
	},
	audiences: {
		filters: [one({ audiences: ["svc", "https://other.test/"] })],
		requests: {
			right: bearer(good),
			"one of a list": bearer(token({ ...claims, aud: ["no", "svc"] })),
			wrong: bearer(token({ ...claims, aud: "no" })),
			none: bearer(token({ ...claims, aud: undefined })),
			"without the scheme": bearer(token({ ...claims, aud: "other.test" })),
			"with another scheme": bearer(token({ ...claims, aud: "http://other.test" })),
			"wrong and badly signed": bearer(token({ ...claims, aud: "no" }, { key: otherRsa.privateKey })),
		},
	},
	"any issuer": { filters: [one({ issuer: "" })], requests: { another: bearer(other), none: bearer(token({ ...claims, iss: undefined })) } },
	subjects: {
		filters: [one({ subjects: { prefix: "al" } })],
		requests: { right: bearer(good), wrong: bearer(token({ ...claims, sub: "bob" })), none: bearer(token({ ...claims, sub: undefined })) },
	},
	lifetime: {
		filters: [one({ require_expiration: true, max_lifetime: "7200s" })],
		requests: {
			right: bearer(good),
			"no expiry": bearer(token({ ...claims, exp: undefined })),
			"too long": bearer(token({ ...claims, exp: now + 10_000 })),
			"too long since it was issued": bearer(token({ ...claims, iat: now - 7000, exp: now + 1000 })),
			"not too long from now": bearer(token({ ...claims, iat: now, exp: now + 7000 })),
		},
	},
	places: {
		filters: [
			one({
				from_headers: [{ name: "x-jwt" }, { name: "x-jwt-prefixed", value_prefix: "Token=" }],
				from_params: ["tok"],
				from_cookies: ["jwt"],
			}),
		],
		requests: {
			header: get("/", `x-jwt: ${good}\r\n`),
			"header with a prefix": get("/", `x-jwt-prefixed: a Token=${good}, b\r\n`),
			"header without the prefix": get("/", `x-jwt-prefixed: ${good}\r\n`),
			parameter: get(`/?tok=${good}&a=b`),
			cookie: get("/", `cookie: a=b; jwt=${good}; c=d\r\n`),
			"a cookie in a line of its own": get("/", `cookie: a=b,c\r\ncookie: jwt="${good}"\r\n`),
			"a cookie with a comma": get("/", `cookie: jwt=${good},x\r\n`),
			"not by authorization": bearer(good),
			"a good and a bad one": get(`/?tok=${bad}`, `x-jwt: ${good}\r\n`),
			"two good ones": get(`/?tok=${good}`, `x-jwt: ${good}\r\n`),
		},
	},
	forwarding: {
		filters: [
			one({
				forward: true,
				forward_payload_header: "x-payload",
				pad_forward_payload_header: true,
				claim_to_headers: [
					{ header_name: "x-sub", claim_name: "sub" },
					{ header_name: "x-deep", claim_name: "nested.deep" },
					{ header_name: "x-groups", claim_name: "groups" },
					{ header_name: "x-admin", claim_name: "admin" },
					{ header_name: "x-ratio", claim_name: "ratio" },
					{ header_name: "x-none", claim_name: "none" },
					{ header_name: "x-object", claim_name: "nested" },
				],
			}),
		],
		requests: { "claims become headers": bearer(good), "what the client claims is removed": bearer(good, "x-sub: mallory\r\nx-none: m\r\nx-payload: p\r\n") },
	},
	metadata: {
		filters: [
			one({
				payload_in_metadata: "payload",
				header_in_metadata: "header",
				failed_status_in_metadata: "failure",
				normalize_payload_in_metadata: { space_delimited_claims: ["scope"] },
			}),
		],
		requests: {
			good: bearer(good),
			bad: bearer(bad),
			missing: get("/"),
			...Object.fromEntries(
				Object.entries({
					expired: token({ ...claims, exp: now - 120 }),
					early: token({ ...claims, nbf: now + 120 }),
					parts: "a.b",
					headerBase64: "a.b.c",
					headerJson: `${base64("{")}.${base64({})}.c2ln`,
					noAlg: `${base64({})}.${base64({})}.c2ln`,
					unknownAlg: `${base64({ alg: "none" })}.${base64(claims)}.c2ln`,
					kid: `${base64({ alg: "RS256", kid: 1 })}.${base64(claims)}.c2ln`,
					payloadBase64: `${base64({ alg: "RS256" })}.a.c2ln`,
					payloadJson: `${base64({ alg: "RS256" })}.${base64("x")}.c2ln`,
					iss: token({ ...claims, iss: 1 }),
					sub: token({ ...claims, sub: 1 }),
					iat: token({ ...claims, iat: "1" }),
					iatRange: token({ ...claims, iat: -1 }),
					nbf: token({ ...claims, nbf: "1" }),
					expRange: token({ ...claims, exp: -1 }),
					jti: token({ ...claims, jti: 1 }),
					aud: token({ ...claims, aud: 1 }),
					signature: `${base64({ alg: "RS256" })}.${base64(claims)}.a`,
					issuer: other,
					key: token(claims, { kid: "zzz" }),
				}).map(([name, text]) => [`failure ${name}`, bearer(text)]),
			),
		},
	},
	istio: {
		filters: [
			filter({
				bypass_cors_preflight: true,
				providers: {
					"origins-0": provider({ payload_in_metadata: "payload" }),
					"origins-1": provider({ issuer: "https://b.test", audiences: ["svc"], from_headers: [{ name: "x-b" }] }),
				},
				rules: always({
					requires_any: {
						requirements: [
							{
								requires_all: {
									requirements: [
										{ requires_any: { requirements: [{ provider_name: "origins-0" }, { allow_missing: {} }] } },
										{ requires_any: { requirements: [{ provider_name: "origins-1" }, { allow_missing: {} }] } },
									],
								},
							},
							{ allow_missing: {} },
						],
					},
				}),
			}),
			httpFilter("envoy.filters.http.rbac", "rbac.v3.RBAC", {
				rules: {
					action: "DENY",
					policies: {
						"needs alice": {
							permissions: [{ url_path: { path: { prefix: "/alice" } } }],
							principals: [
								{
									not_id: {
										metadata: {
											filter: "envoy.filters.http.jwt_authn",
											path: [{ key: "payload" }, { key: "sub" }],
											value: { string_match: { exact: "alice" } },
										},
									},
								},
							],
						},
						"needs a group": {
							permissions: [{ url_path: { path: { prefix: "/group" } } }],
							principals: [
								{
									not_id: {
										metadata: {
											filter: "envoy.filters.http.jwt_authn",
											path: [{ key: "payload" }, { key: "groups" }],
											value: { list_match: { one_of: { string_match: { exact: "y" } } } },
										},
									},
								},
							],
						},
					},
				},
			}),
		],
		requests: {
			"no token": get("/"),
			good: bearer(good),
			bad: bearer(bad),
			"a token of the other issuer in the first's place": bearer(other),
			"a token of the other issuer in its place": get("/", `x-b: ${other}\r\n`),
			"both good": bearer(good, `x-b: ${other}\r\n`),
			"one of both bad": bearer(bad, `x-b: ${other}\r\n`),
			"of nobody": bearer(token({ ...claims, iss: "https://c.test" })),
			expired: bearer(token({ ...claims, exp: now - 1000 })),
			preflight: "OPTIONS / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 0\r\norigin: http://x\r\naccess-control-request-method: GET\r\n",
			"options without a preflight": `OPTIONS / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 0\r\norigin: http://x\r\nauthorization: Bearer ${bad}\r\n`,
			"rbac without a token": get("/alice"),
			"rbac with alice": get("/alice", `authorization: Bearer ${good}\r\n`),
			"rbac with bob": get("/alice", `authorization: Bearer ${token({ ...claims, sub: "bob" })}\r\n`),
			"rbac with a group": get("/group", `authorization: Bearer ${good}\r\n`),
			"rbac with another group": get("/group", `authorization: Bearer ${token({ ...claims, groups: ["z"] })}\r\n`),
		},
	},
	requirements: {
		filters: [
			filter({
				providers: { p: provider(), q: provider({ issuer: "https://b.test", from_headers: [{ name: "x-q" }] }) },
				requirement_map: { both: { requires_all: { requirements: [{ provider_name: "p" }, { provider_name: "q" }] } } },
				rules: [
					{ match: { prefix: "/none" } },
					{ match: { prefix: "/any" }, requires: { requires_any: { requirements: [{ provider_name: "p" }, { provider_name: "q" }] } } },
					{ match: { prefix: "/all" }, requirement_name: "both" },
					{ match: { prefix: "/failed" }, requires: { allow_missing_or_failed: {} } },
					{ match: { prefix: "/missing" }, requires: { allow_missing: {} } },
					{ match: { prefix: "/aud" }, requires: { provider_and_audiences: { provider_name: "p", audiences: ["special"] } } },
					{ match: { path: "/method", headers: [{ name: ":method", string_match: { exact: "GET" } }] }, requires: named },
				],
			}),
		],
		requests: {
			"nothing is required": get("/none"),
			"no rule": get("/elsewhere"),
			"any, none given": get("/any"),
			"any, the first": get("/any", `authorization: Bearer ${good}\r\n`),
			"any, the second": get("/any", `x-q: ${other}\r\n`),
			"any, a bad first": get("/any", `authorization: Bearer ${bad}\r\n`),
			"any, a bad first and a good second": get("/any", `authorization: Bearer ${bad}\r\nx-q: ${other}\r\n`),
			"any, of nobody": get("/any", `authorization: Bearer ${token({ ...claims, iss: "https://c.test" })}\r\n`),
			"all, one": get("/all", `authorization: Bearer ${good}\r\n`),
			"all, both": get("/all", `authorization: Bearer ${good}\r\nx-q: ${other}\r\n`),
			"failed is allowed": get("/failed", `authorization: Bearer ${bad}\r\n`),
			"missing is allowed": get("/missing"),
			"bad is not": get("/missing", `authorization: Bearer ${bad}\r\n`),
			"of nobody is not": get("/missing", `authorization: Bearer ${token({ ...claims, iss: "https://c.test" })}\r\n`),
			"the rule's audience": get("/aud", `authorization: Bearer ${token({ ...claims, aud: "special" })}\r\n`),
			"not the rule's audience": get("/aud", `authorization: Bearer ${good}\r\n`),
			"by method": get("/method"),
		},
	},
	stripped: { filters: [one({}, { strip_failure_response: true })], requests: { missing: get("/"), bad: bearer(bad) } },
	routes: {
		filters: [filter({ providers: { p: provider() }, requirement_map: { must: named }, rules: [] })],
		host: {
			routes: [
				{
					match: { prefix: "/must" },
					route: { cluster: "echo" },
					typed_per_filter_config: {
						"envoy.filters.http.jwt_authn": {
							"@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.PerRouteConfig",
							requirement_name: "must",
						},
					},
				},
				{
					match: { prefix: "/unknown" },
					route: { cluster: "echo" },
					typed_per_filter_config: {
						"envoy.filters.http.jwt_authn": {
							"@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.PerRouteConfig",
							requirement_name: "zzz",
						},
					},
				},
				{ match: { prefix: "/" }, route: { cluster: "echo" } },
			],
		},
		requests: {
			asked: get("/must"),
			"not asked": get("/"),
			"asked and given": get("/must", `authorization: Bearer ${good}\r\n`),
			"asked for what there is not": get("/unknown"),
		},
	},
	"routing by claims": {
		filters: [one({ payload_in_metadata: "payload", clear_route_cache: true })],
		host: {
			routes: [
				{
					match: {
						prefix: "/",
						dynamic_metadata: [
							{ filter: "envoy.filters.http.jwt_authn", path: [{ key: "payload" }, { key: "sub" }], value: { string_match: { exact: "alice" } } },
						],
					},
					direct_response: { status: 200, body: { inline_string: "alice's" } },
				},
				{ match: { prefix: "/" }, route: { cluster: "echo" } },
			],
		},
		requests: { alice: bearer(good), bob: bearer(token({ ...claims, sub: "bob" })) },
	},
	remote: {
		filters: [
			filter({
				providers: {
					p: {
						issuer: "https://a.test",
						remote_jwks: { http_uri: { uri: "http://keys.test/jwks?x=1", cluster: "echo", timeout: "1s" }, cache_duration: "300s" },
					},
				},
				rules: always(named),
			}),
		],
		requests: { good: bearer(good), bad: bearer(bad) },
	},
	"remote, and there is nobody": {
		filters: [
			filter({
				providers: {
					p: {
						issuer: "https://a.test",
						remote_jwks: { http_uri: { uri: "http://keys.test/jwks", cluster: "nobody", timeout: "1s" } },
						failed_status_in_metadata: "failure",
					},
				},
				rules: always(named),
			}),
		],
		requests: { good: bearer(good) },
	},
};

runScenarios("JWT authentication", scenarios, {
	stats: /\.jwt_authn\.(?!jwks_fetch)/,
	answer: { "/jwks": () => ({ status: 200, body: keySet }) },
	log: { metadata: "%DYNAMIC_METADATA(envoy.filters.http.jwt_authn)%" },
});
