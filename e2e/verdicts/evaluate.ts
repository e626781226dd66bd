import { BlockList, isIPv4 } from "node:net";
import { type Call, type Claims, type Fields, policyNamespace, type Peer, type PolicySpec, type Rule, trustDomains, type VerdictCase } from "./cases.ts";

// A reference of what an AuthorizationPolicy means, written from the text of the API and from nothing of Weft's:
// https://istio.io/latest/docs/reference/config/security/authorization-policy/
// https://istio.io/latest/docs/reference/config/security/conditions/
// https://istio.io/latest/docs/reference/config/security/normalization/

/** `call` is undefined on a chain that sees bytes only. */
interface Request {
	readonly peer: Peer;
	readonly call: Call | undefined;
	readonly path: string;
}

/** Any DENY rule that matches refuses; without ALLOW policies everything else passes, with some one rule of them must match. */
export function isAllowed({ policies, normalization }: VerdictCase, peer: Peer, call: Call | undefined): boolean {
	const request = { peer, call, path: call === undefined ? "" : judgedPath(call.path, normalization) };
	const matches = ({ rules, action }: PolicySpec) => rules.some((rule) => ruleMatches(rule, request, action === "ALLOW"));
	if (policies.some((policy) => policy.action === "DENY" && matches(policy))) return false;
	const allowing = policies.filter(({ action }) => action === "ALLOW");
	return allowing.length === 0 || allowing.some(matches);
}

/** "A match occurs when at least one source, one operation and all conditions match." */
function ruleMatches({ from, to, when = [] }: Rule, request: Request, allows: boolean): boolean {
	const named = [
		...(from ?? []).flatMap(({ source }) => Object.keys(source)),
		...(to ?? []).flatMap(({ operation }) => Object.keys(operation)),
		...when.map(({ key }) => key),
	];
	// "ALLOW rules with HTTP attributes never match TCP traffic; in DENY rules the HTTP attributes are ignored there."
	if (request.call === undefined && allows && named.some(isHttpOnly)) return false;
	const all = (fields: Fields) => Object.entries(fields).every(([name, values]) => fieldHolds(name, values, request));
	return (
		(from === undefined || from.some(({ source }) => all(source))) &&
		(to === undefined || to.some(({ operation }) => all(operation))) &&
		when.every(({ key, values, notValues }) => {
			if (request.call === undefined && isHttpOnly(key)) return true;
			const holds = (list: readonly string[]) => list.some((value) => attributeMatches(key, value, request));
			return (values === undefined || holds(values)) && (notValues === undefined || !holds(notValues));
		})
	);
}

/** Fields of sources and operations by the condition that says the same. */
const attributes: Readonly<Record<string, string>> = {
	principals: "source.principal",
	namespaces: "source.namespace",
	serviceAccounts: "source.serviceAccount",
	trustDomains: "trustDomain",
	requestPrincipals: "request.auth.principal",
	ipBlocks: "source.ip",
	remoteIpBlocks: "remote.ip",
	hosts: "host",
	methods: "method",
	paths: "path",
	ports: "destination.port",
};

const positive = (field: string) => (field.startsWith("not") ? field.slice(3, 4).toLowerCase() + field.slice(4) : field);
const attributeOf = (field: string) => attributes[positive(field)] ?? field;
const isHttpOnly = (field: string) => /^(?:request\.|host$|method$|path$)/.test(attributeOf(field));

function fieldHolds(field: string, values: readonly string[], request: Request): boolean {
	const attribute = attributeOf(field);
	if (request.call === undefined && isHttpOnly(field)) return true;
	return values.some((value) => attributeMatches(attribute, value, request)) !== field.startsWith("not");
}

function attributeMatches(attribute: string, value: string, { peer, call, path }: Request): boolean {
	const [domain = "", , namespace = "", , account = ""] = peer.identity?.split("/") ?? [];
	const hasIdentity = peer.identity !== undefined;
	const claims = call?.claims ?? {};
	const bracket = /^request\.(headers|auth\.claims)\[(.*)\]$/.exec(attribute);
	if (bracket?.[1] === "headers") return headerValues(call, bracket[2] ?? "").some((text) => textMatches(value, text));
	if (bracket) return claimMatches(value, claimAt(claims, (bracket[2] ?? "").split("][")));
	switch (attribute) {
		case "source.principal":
			return peer.identity !== undefined && principalMatches(value, peer.identity);
		case "source.namespace":
			return hasIdentity && textMatches(value, namespace);
		case "source.serviceAccount":
			return hasIdentity && (value.includes("/") ? value : `${policyNamespace}/${value}`) === `${namespace}/${account}`;
		case "trustDomain":
			return hasIdentity && (textMatches(value, domain) || (isOurs(value) && isOurs(domain)));
		case "request.auth.principal":
			return typeof claims["iss"] === "string" && textMatches(value, `${claims["iss"]}/${String(claims["sub"])}`);
		case "request.auth.audiences":
			return claimMatches(value, claims["aud"]);
		case "request.auth.presenter":
			return claimMatches(value, claims["azp"]);
		case "source.ip":
			return inBlock(value, peer.sourceIp);
		case "remote.ip":
			return inBlock(value, forwardedFor(call) ?? peer.sourceIp);
		case "destination.ip":
			return inBlock(value, peer.destinationIp);
		case "destination.port":
			return Number(value) === peer.destinationPort;
		case "connection.sni":
			return hasIdentity && textMatches(value, peer.sni);
		case "host":
			return textMatches(value.toLowerCase(), (call?.host ?? "").toLowerCase());
		case "method":
			return textMatches(value, call?.method ?? "");
		case "path":
			return value.includes("{") ? templateMatches(value, path) : textMatches(value, path);
		default:
			throw new Error(`no meaning is known for ${attribute}`);
	}
}

/** "Exact match, prefix match, suffix match and presence match." */
function textMatches(pattern: string, text: string): boolean {
	if (pattern === "*") return text !== "";
	if (pattern.startsWith("*")) return text.endsWith(pattern.slice(1));
	return pattern.endsWith("*") ? text.startsWith(pattern.slice(0, -1)) : text === pattern;
}

const isOurs = (domain: string) => (trustDomains as readonly string[]).includes(domain);

/** Whole principals of one of the mesh's trust domains, or of `cluster.local` that stands for them, are the same in each of them. */
function principalMatches(pattern: string, identity: string): boolean {
	const [domain = "", ...rest] = pattern.split("/");
	const aliases = rest.length === 4 && trustDomains.some((own) => domain === "cluster.local" || (domain !== "*" && textMatches(domain, own)));
	if (!aliases) return textMatches(pattern, identity);
	const spellings = trustDomains.map((own) => `${own}/${rest.join("/")}`);
	return domain === "cluster.local"
		? spellings.some((text) => textMatches(text, identity))
		: [pattern, ...spellings].some((text) => textMatches(text, identity));
}

/** A claim is a text or a list of texts; other values match nothing. */
function claimMatches(pattern: string, claim: unknown): boolean {
	const texts = Array.isArray(claim) ? claim : [claim];
	return texts.some((text) => typeof text === "string" && textMatches(pattern, text));
}

/** "Space-delimited claims are treated as lists": `scope` and `permission`, unless a JWTRule says otherwise. */
function claimAt(claims: Claims, path: readonly string[]): unknown {
	const value = path.reduce<unknown>((inner, key) => (inner as Claims | undefined)?.[key], claims);
	const [name = ""] = path;
	return path.length === 1 && /^(?:scope|permission)$/.test(name) && typeof value === "string" ? value.split(" ") : value;
}

function headerValues(call: Call | undefined, name: string): readonly string[] {
	return (call?.headers ?? []).filter(([key]) => key.toLowerCase() === name.toLowerCase()).map(([, value]) => value);
}

/** Without trusted proxies in front, the last address is the one that the nearest of them has seen. */
const forwardedFor = (call: Call | undefined) => headerValues(call, "x-forwarded-for")[0]?.split(", ").at(-1);

function inBlock(block: string, ip: string): boolean {
	const [address = "", bits] = block.split("/");
	const family = isIPv4(address) ? "ipv4" : "ipv6";
	if ((family === "ipv4") !== isIPv4(ip)) return false;
	const list = new BlockList();
	list.addSubnet(address, Number(bits ?? (family === "ipv4" ? 32 : 128)), family);
	return list.check(ip, family);
}

/** `{*}` is one segment, `{**}` any number of them, also none. */
function templateMatches(template: string, path: string): boolean {
	const steps = template.split(/(\{\*\*?\})/);
	const expression = steps.map((step) => (step === "{*}" ? "[^/]+" : step === "{**}" ? ".*" : step.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"))).join("");
	// Characters that a path may not have unescaped match no wildcard.
	return new RegExp(`^${expression}$`).test(path) && !path.includes("\\");
}

/** The path that is judged, and forwarded: without its query, by the mesh's pathNormalization. */
export function judgedPath(pathAndQuery: string, normalization: VerdictCase["normalization"]): string {
	let path = pathAndQuery.split("?")[0] ?? "";
	if (normalization === "NONE") return path;
	if (normalization === "DECODE_AND_MERGE_SLASHES") path = path.replace(/%2f/gi, "/").replace(/%5c/gi, "\\");
	path = removeDots(decodeUnreserved(path.replaceAll("\\", "/")));
	return normalization === "BASE" ? path : path.replace(/\/{2,}/g, "/");
}

/** RFC 3986, 6.2.2.2. */
function decodeUnreserved(path: string): string {
	return path.replace(/%([0-9a-f]{2})/gi, (escape, hex: string) => {
		const character = String.fromCharCode(Number.parseInt(hex, 16));
		return /[A-Za-z0-9._~-]/.test(character) ? character : escape;
	});
}

/** RFC 3986, 5.2.4. Parameters (`..;x`) do not hide what a segment is. */
function removeDots(path: string): string {
	const kept: string[] = [];
	const segments = path.split("/").slice(1);
	for (const [i, segment] of segments.entries()) {
		const isLast = i === segments.length - 1;
		const [name = ""] = segment.split(";");
		if (name === "..") kept.pop();
		if (name !== "." && name !== "..") kept.push(segment);
		else if (isLast) kept.push("");
	}
	return `/${kept.join("/")}`;
}
