import { bool, list, obj, oneOf, opt, type StaticOf, text, uint32 } from "./builders.ts";
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

export const rateLimitSchema = obj({
	selector: opt(matchLabelsSelectorSchema),
	targetRefs: opt(list(targetRefSchema)),
	limits: list(limitSchema, { minItems: 1, description: "A request passes when none of those that are for it is used up. Each proxy counts for itself." }),
});
export type RateLimitSpec = StaticOf<typeof rateLimitSchema>;
