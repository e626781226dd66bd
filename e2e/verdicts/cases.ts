import { createRandom, type Random } from "./random.ts";

// Generated policies and requests. Both draw from the same small pools, so that what is asked for is often what is there, or nearly.

/** As a user writes them; the evaluator reads nothing else. */
export interface PolicySpec {
	readonly name: string;
	readonly action: "ALLOW" | "DENY" | "AUDIT";
	readonly rules: readonly Rule[];
}

export interface Rule {
	readonly from?: readonly { readonly source: Fields }[];
	readonly to?: readonly { readonly operation: Fields }[];
	readonly when?: readonly { readonly key: string; readonly values?: readonly string[]; readonly notValues?: readonly string[] }[];
}

/** `paths: […]`, `notPaths: […]`. */
export type Fields = Readonly<Record<string, readonly string[]>>;

export interface Peer {
	/** Trust domain, namespace and service account; undefined: plain text. */
	readonly identity: string | undefined;
	readonly sni: string;
	readonly sourceIp: string;
	readonly destinationIp: string;
	readonly destinationPort: number;
}

export interface Call {
	readonly method: string;
	readonly path: string;
	readonly host: string;
	readonly headers: readonly (readonly [string, string])[];
	readonly claims: Claims | undefined;
}

export type Claims = Readonly<Record<string, unknown>>;

export const normalizations = ["NONE", "BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES"] as const;

export interface VerdictCase {
	readonly seed: number;
	readonly normalization: (typeof normalizations)[number];
	readonly policies: readonly PolicySpec[];
	readonly connections: readonly { readonly peer: Peer; readonly calls: readonly Call[] }[];
	/** Connections to the chain that sees bytes only. */
	readonly tcp: readonly Peer[];
}

export const policyNamespace = "foo";
export const trustDomains = ["td1", "old-td"] as const;

/** Names with characters that mean something in expressions, and names which only such a meaning would match. */
export const identities = [
	"td1/ns/foo/sa/alice",
	"old-td/ns/foo/sa/alice",
	"else-td/ns/foo/sa/alice",
	"td1/ns/foo/sa/bob",
	"td1/ns/bar/sa/bob",
	"td1/ns/foobar/sa/al",
	"td1/ns/f.o/sa/a.b",
	"td1/ns/fxo/sa/axb",
];
const namespaces = ["foo", "bar", "foobar", "f.o", "fxo"];
const accounts = ["alice", "foo/alice", "bar/bob", "bob", "f.o/a.b", "fxo/axb", "a.b"];
const domains = ["td1", "old-td", "else-td", "cluster.local"];
const sourceIps = ["127.0.0.1", "127.0.1.7", "127.9.0.4"];
const destinationIps = ["10.1.2.3", "10.9.9.9"];
const remoteIps = ["127.0.0.1", "203.0.113.5", "203.0.113.77", "2001:db8::7", "198.51.100.1"];
const blocks = ["127.0.0.1", "127.0.0.0/16", "127.9.0.0/24", "203.0.113.0/26", "203.0.113.5", "2001:db8::/32", "198.51.100.0/24", "0.0.0.0/0"];
const destinationBlocks = ["10.1.0.0/16", "10.9.9.9", "10.0.0.0/8"];
const ports = ["80", "8080", "9000"];
const names = ["a.test", "admin.a.test", "b.test"];
const hosts = ["a.test", "A.test", "a.test:80", "b.test", "admin.a.test", "a.test."];
const methods = ["GET", "POST", "DELETE"];
const plainPaths = ["/", "/a", "/a/", "/a/b", "/a/b/c", "/admin", "/files/x/y.json", "/files/y.json", "/A", "/a.b", "/axb"];
const oddPaths = [
	"//a",
	"/a//b",
	"/a/../admin",
	"/a/./b",
	"/a%2fb",
	"/a%2Fb",
	"/%61",
	"/a%5Cb",
	"/a\\b",
	"/a/%2e%2e/admin",
	"/a%20b",
	"/admin;x=1",
	"/a/..;/admin",
];
const templates = ["/a/{*}", "/a/{*}/c", "/files/{**}", "/files/{**}/y.json", "/{*}/b", "/{**}"];
const headerNames = ["x-a", "X-Group"];
const headerValues = ["dev", "ops", "dev-ops", "d.v", "dxv", "dev,ops"];
export const issuers = ["issuer.example", "https://b.example/x"];
const subjects = ["alice", "bob", "al.ice", "alxice"];

function claims(random: Random): Claims {
	const groups = random.some(1, 2, () => random.pick(headerValues));
	return {
		iss: random.pick(issuers),
		sub: random.pick(subjects),
		...(random.chance(0.7) ? { aud: random.chance(0.5) ? random.pick(names) : random.some(1, 2, () => random.pick(names)) } : {}),
		...(random.chance(0.4) ? { azp: random.pick(subjects) } : {}),
		...(random.chance(0.6) ? { groups: random.chance(0.5) ? groups : groups[0] } : {}),
		...(random.chance(0.4) ? { realm: { role: random.pick(headerValues) } } : {}),
		...(random.chance(0.2) ? { level: 7 } : {}),
		...(random.chance(0.4) ? { scope: random.some(1, 3, () => random.pick(["read", "write", "read:all"])).join(" ") } : {}),
	};
}

/** The text, or a part of it with a wildcard. */
function pattern(random: Random, text: string): string {
	const cut = 1 + random.below(Math.max(1, text.length - 1));
	switch (random.below(8)) {
		case 0:
			return `${text.slice(0, cut)}*`;
		case 1:
			return `*${text.slice(cut)}`;
		case 2:
			return random.chance(0.4) ? "*" : text;
		default:
			return text;
	}
}

type Make = (random: Random) => string;
const patternOf =
	(pool: readonly string[]): Make =>
	(random) =>
		pattern(random, random.pick(pool));
const oneOf =
	(pool: readonly string[]): Make =>
	(random) =>
		random.pick(pool);

const requestPrincipal: Make = (random) => {
	const [issuer, subject] = [random.pick(issuers), random.pick(subjects)];
	return random.pick([`${issuer}/${subject}`, `${issuer}/${subject.slice(0, 2)}*`, `${issuer}/*`, `*/${subject}`, "*"]);
};

const principal: Make = (random) => {
	const identity = random.pick([...identities, "cluster.local/ns/foo/sa/alice"]);
	if (random.chance(0.15)) return `*${identity.slice(identity.indexOf("/"))}`;
	return random.chance(0.1) ? `*-td${identity.slice(identity.indexOf("/"))}` : pattern(random, identity);
};

const sourceFields: Readonly<Record<string, Make>> = {
	principals: principal,
	namespaces: patternOf(namespaces),
	trustDomains: patternOf(domains),
	requestPrincipals: requestPrincipal,
	ipBlocks: oneOf(blocks),
	remoteIpBlocks: oneOf(blocks),
};
/** The API takes them only without principals and namespaces. */
const accountFields: Readonly<Record<string, Make>> = { serviceAccounts: oneOf(accounts), ipBlocks: oneOf(blocks) };

const operationFields: Readonly<Record<string, Make>> = {
	hosts: patternOf(hosts),
	methods: patternOf(methods),
	paths: (random) => (random.chance(0.3) ? random.pick(templates) : pattern(random, random.pick([...plainPaths, ...oddPaths.slice(4)]))),
	ports: oneOf(ports),
};

const conditions: Readonly<Record<string, Make>> = {
	"request.headers[x-a]": patternOf(headerValues),
	"request.headers[X-Group]": patternOf(headerValues),
	"source.ip": oneOf(blocks),
	"remote.ip": oneOf(blocks),
	"source.namespace": patternOf(namespaces),
	"source.principal": principal,
	"source.serviceAccount": oneOf(accounts),
	"request.auth.principal": requestPrincipal,
	"request.auth.audiences": patternOf(names),
	"request.auth.presenter": patternOf(subjects),
	"request.auth.claims[groups]": patternOf(headerValues),
	"request.auth.claims[realm][role]": patternOf(headerValues),
	"request.auth.claims[scope]": patternOf(["read", "write", "read:all"]),
	"request.auth.claims[level]": patternOf(["7"]),
	"destination.ip": oneOf(destinationBlocks),
	"destination.port": oneOf(ports),
	"connection.sni": patternOf(names),
};

function fields(random: Random, makers: Readonly<Record<string, Make>>): Fields {
	const chosen = random.some(1, 2, () => random.pick(Object.keys(makers)));
	return Object.fromEntries(
		chosen.flatMap((name) => {
			const list = () => random.some(1, 3, () => makers[name]?.(random) ?? "");
			const negative = `not${name.slice(0, 1).toUpperCase()}${name.slice(1)}`;
			const which = random.below(5);
			return [...(which !== 0 ? [[name, list()] as const] : []), ...(which <= 1 ? [[negative, list()] as const] : [])];
		}),
	);
}

function rule(random: Random): Rule {
	const from = random.some(1, 2, () => ({ source: fields(random, random.chance(0.15) ? accountFields : sourceFields) }));
	const to = random.some(1, 2, () => ({ operation: fields(random, operationFields) }));
	const when = random.some(1, 2, () => {
		const key = random.pick(Object.keys(conditions));
		const { k: values, notK: notValues } = fields(random, { k: conditions[key] as Make });
		return { key, ...(values ? { values } : {}), ...(notValues ? { notValues } : {}) };
	});
	return { ...(random.chance(0.6) ? { from } : {}), ...(random.chance(0.6) ? { to } : {}), ...(random.chance(0.4) ? { when } : {}) };
}

function policy(random: Random, index: number): PolicySpec {
	const action = random.pick(["ALLOW", "ALLOW", "ALLOW", "DENY", "DENY", "AUDIT"] as const);
	return { name: `p${index}`, action, rules: action === "ALLOW" && random.chance(0.07) ? [] : random.some(1, 3, () => rule(random)) };
}

const peer = (random: Random): Peer => ({
	identity: random.chance(0.75) ? random.pick(identities) : undefined,
	sni: random.pick(names),
	sourceIp: random.pick(sourceIps),
	destinationIp: random.pick(destinationIps),
	destinationPort: Number(random.pick(ports)),
});

function call(random: Random): Call {
	const headers = random.some(0, 3, () => [random.pick(headerNames), random.pick(headerValues)] as const);
	const forwarded = random.chance(0.5) ? [["x-forwarded-for", random.some(1, 2, () => random.pick(remoteIps)).join(", ")] as const] : [];
	const query = random.chance(0.2) ? "?q=/a/b" : "";
	return {
		method: random.pick(methods),
		path: random.pick(random.chance(0.35) ? oddPaths : plainPaths) + query,
		host: random.pick(hosts),
		headers: [...headers, ...forwarded],
		claims: random.chance(0.5) ? claims(random) : undefined,
	};
}

export function verdictCase(seed: number): VerdictCase {
	const random = createRandom(seed);
	return {
		seed,
		normalization: random.pick(normalizations),
		policies: random.some(1, 3, () => undefined).map((_, i) => policy(random, i)),
		connections: random.some(6, 6, () => ({ peer: peer(random), calls: random.some(4, 4, () => call(random)) })),
		tcp: random.some(4, 4, () => peer(random)),
	};
}
