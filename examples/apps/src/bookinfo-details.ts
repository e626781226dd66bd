import type { AppContext, RunningApp } from "./environment.ts";
import { json, startHttpApp } from "./http-server.ts";
import type { Route } from "./route-table.ts";

const book = {
	author: "William Shakespeare",
	year: 1595,
	type: "paperback",
	pages: 200,
	publisher: "PublisherA",
	language: "English",
	"ISBN-10": "1234567890",
	"ISBN-13": "123-1234567890",
} as const;

const routes: readonly Route[] = [
	{ method: "GET", path: "/health", handler: () => json(200, { status: "Details is healthy" }) },
	{
		method: "GET",
		path: "/details/:id",
		handler: (_request, parameters) => {
			const id = Number(parameters.get("id"));
			return Number.isInteger(id) ? json(200, { id, ...book }) : json(400, { error: "please provide numeric product id" });
		},
	},
];

/** Bookinfo's details service. */
export function startDetails(context: AppContext): Promise<RunningApp> {
	return startHttpApp(context, { defaultPort: 9080, routes });
}
