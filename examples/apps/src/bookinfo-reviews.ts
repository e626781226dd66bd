import { serviceUrl } from "./bookinfo-hosts.ts";
import { type AppContext, type Environment, instanceName, integerFrom, type RunningApp, textFrom } from "./environment.ts";
import { createHttpClient, type HttpClient } from "./http-client.ts";
import { type AppRequest, errorText, json, startHttpApp } from "./http-server.ts";
import type { Route } from "./route-table.ts";
import { forwardedHeaders } from "./trace-headers.ts";

export type ReviewsVersion = {
	readonly ratings: boolean;
	readonly color: string;
	readonly ratingsTimeoutMs: number;
};

type Stars = { readonly kind: "stars"; readonly byReviewer: ReadonlyMap<string, number> } | { readonly kind: "unavailable" };

const reviewTexts = [
	["Reviewer1", "Two pairs of twins, one town, and not a dull scene. I laughed all the way through."],
	["Reviewer2", "Great fun, if a little thin beside the later plays."],
] as const;

/** v1 shows no stars, v2 black and v3 red ones; ENABLE_RATINGS and STAR_COLOR say otherwise if set. The timeouts are the well-known app's. */
export function resolveReviewsVersion(env: Environment): ReviewsVersion {
	const version = textFrom(env, "SERVICE_VERSION", "v1");
	const color = textFrom(env, "STAR_COLOR", version === "v3" ? "red" : "black");
	const ratings = textFrom(env, "ENABLE_RATINGS", version === "v1" ? "false" : "true") === "true";
	return { ratings, color, ratingsTimeoutMs: integerFrom(env, "RATINGS_TIMEOUT_MS", color === "black" ? 10_000 : 2_500) };
}

/** Bookinfo's reviews service, v1, v2 or v3 by SERVICE_VERSION. */
export async function startReviews(context: AppContext): Promise<RunningApp> {
	const version = resolveReviewsVersion(context.env);
	const client = createHttpClient(context.env);
	const routes: readonly Route[] = [
		{ method: "GET", path: "/health", handler: () => json(200, { status: "Reviews is healthy" }) },
		{
			method: "GET",
			path: "/reviews/:id",
			handler: async (request, parameters) => {
				const id = parameters.get("id") ?? "";
				if (!/^\d{1,9}$/.test(id)) return json(400, { error: "please provide numeric product id" });
				const stars = version.ratings ? await fetchStars(context, client, version, id, request) : undefined;
				return json(200, reviewsBody(context.env, version, id, stars));
			},
		},
	];
	const app = await startHttpApp(context, { defaultPort: 9080, routes });
	return { ...app, close: () => app.close().finally(() => client.close()) };
}

async function fetchStars(context: AppContext, client: HttpClient, version: ReviewsVersion, id: string, request: AppRequest): Promise<Stars> {
	const url = `${serviceUrl(context.env, "ratings")}/ratings/${id}`;
	const { ratingsTimeoutMs: timeoutMs } = version;
	try {
		const response = await client.send({ url, headers: forwardedHeaders(request.headers), timeoutMs, signal: request.signal });
		if (response.status !== 200) {
			context.log(`${url} answered ${response.status}`);
			return { kind: "unavailable" };
		}
		return decodeStars(JSON.parse(response.body.toString("utf8")));
	} catch (error) {
		context.log(errorText(error));
		return { kind: "unavailable" };
	}
}

function decodeStars(value: unknown): Stars {
	if (typeof value !== "object" || value === null || !("ratings" in value)) return { kind: "unavailable" };
	const { ratings } = value;
	if (typeof ratings !== "object" || ratings === null) return { kind: "unavailable" };
	const pairs = Object.entries(ratings).filter((pair): pair is [string, number] => typeof pair[1] === "number");
	return { kind: "stars", byReviewer: new Map(pairs) };
}

function reviewsBody(env: Environment, version: ReviewsVersion, id: string, stars: Stars | undefined): object {
	const reviews = reviewTexts.map(([reviewer, text]) => ({ reviewer, text, ...ratingOf(version, reviewer, stars) }));
	return { id, podname: instanceName(env), clustername: textFrom(env, "CLUSTER_NAME", "null"), reviews };
}

function ratingOf(version: ReviewsVersion, reviewer: string, stars: Stars | undefined): object {
	if (stars === undefined) return {};
	if (stars.kind === "unavailable") return { rating: { error: "Ratings service is currently unavailable" } };
	return { rating: { stars: stars.byReviewer.get(reviewer) ?? -1, color: version.color } };
}
