import { bool, duration, list, obj, oneOf, opt, type StaticOf, text, uint32 } from "./builders.ts";
import { matchLabelsSelectorSchema, stringMatchSchema, targetRefSchema } from "./common.ts";

// A kind of Weft's own: Istio has rate limits as EnvoyFilters only.

const matchSchema = obj({
	paths: opt(list(stringMatchSchema, { description: "Any of these; without the query." })),
	methods: opt(list(text())),
	headers: opt(list(obj({ name: text(), value: opt(stringMatchSchema) }), { description: "All of these; without a value, the header must be there." })),
});
export type RateLimitMatch = StaticOf<typeof matchSchema>;

const keySchema = obj(
	{
		header: opt(text({ description: "The value of this header." })),
		claim: opt(text({ description: "This claim of the token that a RequestAuthentication has let pass." })),
		clientAddress: opt(bool({ description: "The client's address, as remote.ip of policies." })),
	},
	{ "x-weft-one-of": [["header", "claim", "clientAddress"]] },
);
export type RateLimitKey = StaticOf<typeof keySchema>;

export const rateLimitUnits = ["SECOND", "MINUTE", "HOUR", "DAY"] as const;

const limitSchema = obj({
	requests: uint32({ description: "How many are let through in each unit of time." }),
	unit: oneOf(rateLimitUnits),
	burst: opt(uint32({ description: "How many at once after a pause; as many as `requests` unless set." })),
	match: opt(matchSchema),
	per: opt(list(keySchema, { description: "Requests that differ in these are counted apart; those without share one count." })),
});
export type RateLimitRule = StaticOf<typeof limitSchema>;

const entrySchema = obj(
	{
		key: opt(text({ description: "What the rate limit service knows it by; `remote_address` for clientAddress, and nothing else." })),
		value: opt(text({ description: "This very value, for every request, or for those that `match`." })),
		match: opt(matchSchema),
		header: opt(text({ description: "The value of this header; a request without it has no such descriptor." })),
		claim: opt(text({ description: "This claim of the token that a RequestAuthentication has let pass." })),
		clientAddress: opt(bool({ description: "The client's address, as remote.ip of policies." })),
	},
	{ "x-weft-one-of": [["value", "header", "claim", "clientAddress"]] },
);
export type RateLimitEntrySpec = StaticOf<typeof entrySchema>;

const globalSchema = obj(
	{
		host: text({ description: "The rate limit service (envoy.service.ratelimit.v3), by its name in the mesh." }),
		port: uint32(),
		domain: text({ description: "Under which the service keeps its limits." }),
		descriptors: list(obj({ entries: list(entrySchema, { minItems: 1 }) }), {
			minItems: 1,
			description: "What the service is asked about for each request; it refuses when it refuses one.",
		}),
		timeout: opt(duration()),
		failureMode: opt(oneOf(["OPEN", "CLOSED"], { description: "OPEN, unless set: without an answer requests pass. CLOSED: they are refused with 500." })),
	},
	{ description: "Limits over all proxies, counted by a rate limit service; asked when `limits` have let a request pass." },
);
export type GlobalRateLimit = StaticOf<typeof globalSchema>;

export const rateLimitSchema = obj({
	selector: opt(matchLabelsSelectorSchema),
	targetRefs: opt(list(targetRefSchema)),
	limits: opt(list(limitSchema, { description: "A request passes when none of those that are for it is used up. Each proxy counts for itself." })),
	global: opt(globalSchema),
});
export type RateLimitSpec = StaticOf<typeof rateLimitSchema>;
