import { type ImaginedRequest, type ImaginedVerdict, judgedPath, judgeImagined, type PathNormalization } from "@weft/proxy/verdict";
import { field, type InboundChain, type JwtProvider, text } from "./chains.ts";
import { parsePolicyId, type PolicyId } from "./policy-id.ts";

/** A request as its sender makes it; the proxy may still change its path. */
export type Question = Omit<ImaginedRequest, "principal"> & {
	/** The caller's SPIFFE id when it can show one. */
	readonly identity: string | undefined;
	readonly port: number;
	/** Bytes rather than requests. */
	readonly isTcp: boolean;
};

export type Action = "ALLOW" | "DENY" | "CUSTOM" | "RequestAuthentication" | "PeerAuthentication" | "none";

/** What one workload answers, and which policy has it so. */
export interface Decision {
	readonly allowed: boolean;
	readonly action: Action;
	/** Undefined where no single rule decided. */
	readonly policy: PolicyId | undefined;
	readonly reason: string;
	/** What else is to be known: who is asked as well, what a dry run would have said. */
	readonly notes: readonly string[];
}

const decided = (allowed: boolean, action: Action, reason: string, policy?: PolicyId): Omit<Decision, "notes"> => ({ allowed, action, reason, policy });

/** Runs the filters that stand between a connection and the workload, in their order. */
export function decide(chains: readonly InboundChain[], question: Question): Decision {
	const own = chains.filter(({ port }) => port === question.port);
	const candidates = own.length > 0 ? own : chains.filter(({ port }) => port === undefined);
	const secure = candidates.filter(({ isMutualTls }) => isMutualTls);
	const isMutualTls = question.identity !== undefined && secure.length > 0;
	const usable = isMutualTls ? secure : candidates.filter((chain) => !chain.isMutualTls);
	const chain = usable.find(({ isHttp }) => isHttp !== question.isTcp) ?? usable[0];
	if (chain === undefined) {
		const reason =
			secure.length > 0 ? "mutual TLS is STRICT here, and the caller has no identity to show" : `the proxy has no filter chain for port ${question.port}`;
		return { ...decided(false, secure.length > 0 ? "PeerAuthentication" : "none", reason), notes: [] };
	}
	return judge(chain, { ...question, principal: isMutualTls ? question.identity : undefined, serverName: isMutualTls ? question.serverName : "" });
}

function judge(chain: InboundChain, asked: ImaginedRequest): Decision {
	const notes: string[] = [];
	const path = chain.manager === undefined ? asked.path : judgedPath(asked.path, normalizationOf(chain.manager));
	if (path === undefined) return { ...decided(false, "none", "the proxy refuses the path as it is written (400)"), notes };
	if (path !== asked.path) notes.push(`the path is judged, and forwarded, as ${path}`);
	if (asked.claims !== undefined && !chain.filters.some(({ kind }) => kind === "jwt"))
		notes.push("no RequestAuthentication is for this workload: the token is not looked at");
	let claims: Question["claims"];
	let last = decided(true, "none", "no AuthorizationPolicy is in the way");
	for (const filter of chain.filters) {
		if (filter.kind === "jwt") {
			const token = acceptToken(filter.providers, asked.claims);
			if (typeof token === "string") return { ...decided(false, "RequestAuthentication", token), notes };
			claims = token;
			continue;
		}
		const { enforced, shadow } = judgeImagined(filter.rbac, { ...asked, path, claims });
		if (shadow) notes.push(...shadowNotes(shadow, filter.rbac.shadowRulesStatPrefix));
		if (enforced === undefined) continue;
		const isAllowing = (filter.rbac.rules?.action ?? 0) === 0;
		const verdict = explain(enforced, isAllowing, Object.keys(filter.rbac.rules?.policies ?? {}));
		if (!enforced.isAllowed) return { ...verdict, notes };
		if (isAllowing) last = verdict;
	}
	return { ...last, notes };
}

function explain({ isAllowed, policy }: ImaginedVerdict, isAllowing: boolean, policies: readonly string[]): Omit<Decision, "notes"> {
	const id = parsePolicyId(policy);
	if (id?.provider !== undefined) return decided(isAllowed, "CUSTOM", `${ruleName(id)} asks a provider that this mesh does not have`, id);
	if (id) return decided(isAllowed, isAllowing ? "ALLOW" : "DENY", `${ruleName(id)} (${isAllowing ? "ALLOW" : "DENY"}) matches`, id);
	if (!isAllowing) return decided(isAllowed, "none", "no DENY rule matches");
	const names = [...new Set(policies.map(parsePolicyId).flatMap((known) => (known ? [`${known.namespace}/${known.name}`] : [])))];
	return decided(
		isAllowed,
		"ALLOW",
		names.length > 0 ? `no rule of the ALLOW policies matches: ${names.join(", ")}` : "there are ALLOW policies, and nothing in them can match",
	);
}

export const ruleName = ({ namespace, name, rule }: PolicyId): string => `rule ${rule} of AuthorizationPolicy ${namespace}/${name}`;

function shadowNotes({ isAllowed, policy }: ImaginedVerdict, prefix: string): readonly string[] {
	const id = parsePolicyId(policy);
	if (prefix.startsWith("istio_ext_authz_")) return id ? [`${ruleName(id)} (CUSTOM) asks ${id.provider || "its provider"}, which may refuse`] : [];
	if (id === undefined && isAllowed) return [];
	return [`dry run: ${isAllowed ? "allowed" : "denied"}${id ? ` by ${ruleName(id)}` : ""}`];
}

/** The claims as policies see them, or why the token is refused. A request without a token passes: only policies ask for one. */
function acceptToken(providers: readonly JwtProvider[], claims: Question["claims"]): Question["claims"] | string {
	if (claims === undefined) return undefined;
	const issued = providers.filter(({ issuer }) => issuer === "" || issuer === claims["iss"]);
	if (issued.length === 0) return `the token is refused (401): Jwt issuer is not configured; known are ${providers.map(({ issuer }) => issuer).join(", ")}`;
	const audiences = [claims["aud"] ?? []].flat().map(String);
	const provider = issued.find((each) => each.audiences.length === 0 || each.audiences.some((audience) => audiences.includes(audience)));
	if (provider === undefined)
		return `the token is refused (403): Audiences in Jwt are not allowed; wanted is one of ${issued.flatMap((each) => each.audiences).join(", ")}`;
	const split = (name: string, value: unknown) => (provider.spaceDelimitedClaims.includes(name) && typeof value === "string" ? value.split(" ") : value);
	return Object.fromEntries(Object.entries(claims).map(([name, value]) => [name, split(name, value)]));
}

const escapedSlashes = { REJECT_REQUEST: "reject", UNESCAPE_AND_REDIRECT: "redirect", UNESCAPE_AND_FORWARD: "forward" } as const;

function normalizationOf(manager: NonNullable<InboundChain["manager"]>): PathNormalization {
	const action = text(manager, "pathWithEscapedSlashesAction");
	return {
		normalizePath: field(manager, "normalizePath") === true,
		mergeSlashes: field(manager, "mergeSlashes") === true,
		escapedSlashes: action in escapedSlashes ? escapedSlashes[action as keyof typeof escapedSlashes] : "keep",
	};
}
