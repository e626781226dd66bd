import type { AppContext, RunningApp } from "./environment.ts";
import { type AppResponse, json, startHttpApp } from "./http-server.ts";
import type { Route } from "./route-table.ts";

type Ratings = Readonly<Record<string, number>>;

const defaultRatings: Ratings = { Reviewer1: 5, Reviewer2: 4 };
const productsMax = 1000;

/** Bookinfo's ratings service. POSTed ratings are kept in memory, for at most 1000 products. */
export function startRatings(context: AppContext): Promise<RunningApp> {
	const stored = new Map<number, Ratings>();
	const routes: readonly Route[] = [
		{ method: "GET", path: "/health", handler: () => json(200, { status: "Ratings is healthy" }) },
		{
			method: "GET",
			path: "/ratings/:id",
			handler: (_request, parameters) => withProductId(parameters.get("id"), (id) => json(200, { id, ratings: stored.get(id) ?? defaultRatings })),
		},
		{
			method: "POST",
			path: "/ratings/:id",
			handler: (request, parameters) => withProductId(parameters.get("id"), (id) => storeRatings(stored, id, request.body)),
		},
	];
	return startHttpApp(context, { defaultPort: 9080, routes });
}

function withProductId(text: string | undefined, reply: (id: number) => AppResponse): AppResponse {
	const id = Number(text);
	return Number.isInteger(id) ? reply(id) : json(400, { error: "please provide numeric product ID" });
}

function storeRatings(stored: Map<number, Ratings>, id: number, body: Buffer): AppResponse {
	const ratings = decodeRatings(body);
	if (ratings === undefined) return json(400, { error: "please provide valid ratings JSON" });
	if (!stored.has(id) && stored.size >= productsMax) return json(507, { error: `ratings of ${productsMax} products are stored already` });
	stored.set(id, ratings);
	return json(200, { id, ratings });
}

function decodeRatings(body: Buffer): Ratings | undefined {
	try {
		const value: unknown = JSON.parse(body.toString("utf8"));
		if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
		const entries = Object.entries(value);
		return entries.every(([, stars]) => typeof stars === "number") ? Object.fromEntries(entries) : undefined;
	} catch {
		// Not JSON at all: the caller answers 400.
		return undefined;
	}
}
