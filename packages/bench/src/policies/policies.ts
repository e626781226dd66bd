import { generateKeyPairSync, sign } from "node:crypto";
import { createStore, decodeYaml } from "@weft/galley";
import { buildPush, decodeNode, translateAll } from "@weft/pilot";

type Json = Readonly<Record<string, unknown>>;

/** A policy of so many rules, the last of which is the one that a request meets. */
export interface PolicyKind {
	readonly name: string;
	readonly objects: (rules: number) => readonly object[];
	/** What is asked for. */
	readonly path: (rules: number) => string;
	/** As `name: value`. */
	readonly headers?: (rules: number) => readonly string[];
	/** Judged by one look-up, however many rules there are. */
	readonly isFlat: boolean;
	/** Few, some and many; default `usualCounts`. */
	readonly counts?: readonly [number, number, number];
}

export const usualCounts = [1, 100, 1_000] as const;

const namespace = "bench";
const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
const jwks = JSON.stringify({ keys: [{ ...publicKey.export({ format: "jwk" }), kid: "k", alg: "ES256" }] });
const issuerOf = (index: number) => `https://issuer-${index}.bench`;

function tokenOf(issuer: string): string {
	const encode = (value: object | Buffer) => (Buffer.isBuffer(value) ? value : Buffer.from(JSON.stringify(value))).toString("base64url");
	const text = `${encode({ alg: "ES256", kid: "k", typ: "JWT" })}.${encode({ iss: issuer, sub: "bench", exp: 4_102_444_800 })}`;
	return `${text}.${encode(sign("sha256", Buffer.from(text), { key: privateKey, dsaEncoding: "ieee-p1363" }))}`;
}

const count = <T>(rules: number, make: (index: number) => T): readonly T[] => Array.from({ length: rules }, (_, index) => make(index));
const object = (apiVersion: string, kind: string, spec: object) => ({ apiVersion, kind, metadata: { name: "bench", namespace }, spec });
const authorization = (action: string, rules: readonly object[]) => [object("security.istio.io/v1", "AuthorizationPolicy", { action, rules })];
const toPaths = (...paths: readonly string[]) => ({ to: [{ operation: { paths } }] });

export const policyKinds: readonly PolicyKind[] = [
	{
		name: "AuthorizationPolicy, ALLOW, exact paths",
		objects: (rules) =>
			authorization(
				"ALLOW",
				count(rules, (i) => toPaths(`/exact-${i}`)),
			),
		path: (rules) => `/exact-${rules - 1}`,
		isFlat: true,
	},
	{
		name: "AuthorizationPolicy, ALLOW, prefixes of paths",
		objects: (rules) =>
			authorization(
				"ALLOW",
				count(rules, (i) => toPaths(`/prefix-${i}/*`)),
			),
		path: (rules) => `/prefix-${rules - 1}/x`,
		isFlat: true,
	},
	{
		name: "AuthorizationPolicy, DENY, exact paths, none of which is asked for",
		objects: (rules) =>
			authorization(
				"DENY",
				count(rules, (i) => toPaths(`/exact-${i}`)),
			),
		path: () => "/other",
		isFlat: true,
	},
	{
		name: "AuthorizationPolicy, ALLOW, values of a header",
		objects: (rules) =>
			authorization(
				"ALLOW",
				count(rules, (i) => ({ when: [{ key: "request.headers[x-user]", values: [`user-${i}`] }] })),
			),
		path: () => "/",
		headers: (rules) => [`x-user: user-${rules - 1}`],
		isFlat: false,
	},
	{
		name: "AuthorizationPolicy, ALLOW, addresses",
		objects: (rules) => {
			const blockOf = (i: number) => (i === rules - 1 ? "127.0.0.0/8" : `10.${i >> 8}.${i & 255}.0/24`);
			return authorization(
				"ALLOW",
				count(rules, (i) => ({ from: [{ source: { ipBlocks: [blockOf(i)] } }] })),
			);
		},
		path: () => "/",
		isFlat: false,
	},
	{
		name: "RequestAuthentication, issuers, a token of the last",
		objects: (rules) => [object("security.istio.io/v1", "RequestAuthentication", { jwtRules: count(rules, (i) => ({ issuer: issuerOf(i), jwks })) })],
		path: () => "/",
		headers: (rules) => [`authorization: Bearer ${tokenOf(issuerOf(rules - 1))}`],
		isFlat: false,
	},
	{
		name: "RateLimit, 1, 8 and 32 limits (the most that there are) for a path each",
		objects: (rules) => {
			const limits = count(rules, (i) => ({ requests: 1_000_000_000, unit: "SECOND", match: { paths: [{ exact: `/limit-${i}` }] } }));
			return [object("weft.dev/v1alpha1", "RateLimit", { limits })];
		},
		path: (rules) => `/limit-${rules - 1}`,
		isFlat: false,
		counts: [1, 8, 32],
	},
];

interface Filter {
	readonly name: string;
	readonly typedConfig: Json & { readonly httpFilters?: readonly Filter[] };
}

interface Listener {
	readonly name: string;
	readonly filterChains: readonly { readonly name: string; readonly filters: readonly Filter[] }[];
}

const judging = /^envoy\.filters\.http\.(?:rbac|jwt_authn|local_ratelimit)$/;

/** The connection manager that Pilot sends for these policies: what judges, and nothing else. @throws Error where a policy is refused */
export function managerOf(objects: readonly object[]): Json {
	const decoded = decodeYaml(objects.map((each) => JSON.stringify(each)).join("\n---\n"), "bench.yaml");
	const errors = decoded.diagnostics.filter(({ severity }) => severity === "error");
	if (errors.length > 0) throw new Error(errors.map(({ message }) => message).join("\n"));
	const store = createStore();
	store.apply({ source: "bench", upsert: decoded.objects, remove: [] });
	const push = buildPush({ snapshot: store.snapshot(), meshConfig: {}, clusterId: "c" });
	const metadata = { NAMESPACE: namespace, ISTIO_VERSION: "1.30.3", INSTANCE_IPS: "10.0.0.1" };
	const node = decodeNode({ id: `sidecar~10.0.0.1~a.${namespace}~${namespace}.svc.cluster.local`, metadata }, push);
	const inbound = (translateAll(push, node).lds as unknown as readonly Listener[]).find(({ name }) => name === "virtualInbound");
	const chain = inbound?.filterChains.find(({ name }) => name === "virtualInbound-catchall-http");
	const manager = chain?.filters.find(({ typedConfig }) => typedConfig.httpFilters)?.typedConfig;
	if (manager === undefined) throw new Error("Pilot sent no HTTP chain for the inbound side");
	const { routeConfig: _routes, accessLog: _log, tracing: _tracing, ...kept } = manager;
	return { ...kept, httpFilters: manager.httpFilters?.filter(({ name }) => judging.test(name)) };
}
