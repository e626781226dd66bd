import { type Backend, createBackend, type Part } from "./bookinfo-backend.ts";
import { buildIndexPage, buildProductPage, products } from "./bookinfo-page.ts";
import type { AppContext, RunningApp } from "./environment.ts";
import { createHttpClient } from "./http-client.ts";
import { type AppRequest, type AppResponse, html, json, startHttpApp } from "./http-server.ts";
import type { Handler, Route } from "./route-table.ts";
import { forwardedHeaders } from "./trace-headers.ts";
import { loginCookie, logoutCookie, userFromCookie, validUser } from "./user-cookie.ts";

/** Bookinfo's product page, which calls details and reviews. */
export async function startProductpage(context: AppContext): Promise<RunningApp> {
	const client = createHttpClient(context.env);
	const backend = createBackend(context, client);
	const app = await startHttpApp(context, { defaultPort: 9080, routes: buildRoutes(backend) });
	return { ...app, close: () => app.close().finally(() => client.close()) };
}

function buildRoutes(backend: Backend): readonly Route[] {
	return [
		{ method: "GET", path: "/", handler: () => html(200, buildIndexPage()) },
		{ method: "GET", path: "/index.html", handler: () => html(200, buildIndexPage()) },
		{ method: "GET", path: "/health", handler: () => html(200, "Product page is healthy") },
		{ method: "POST", path: "/login", handler: (request) => login(request) },
		{ method: "GET", path: "/logout", handler: (request) => redirect(request, logoutCookie()) },
		{ method: "GET", path: "/productpage", handler: (request) => productPage(backend, request) },
		{ method: "GET", path: "/api/v1/products", handler: () => json(200, products) },
		{ method: "GET", path: "/api/v1/products/:id", handler: partHandler(backend.details) },
		{ method: "GET", path: "/api/v1/products/:id/reviews", handler: partHandler(backend.reviews) },
		{ method: "GET", path: "/api/v1/products/:id/ratings", handler: partHandler(backend.ratings) },
	];
}

async function productPage(backend: Backend, request: AppRequest): Promise<AppResponse> {
	const [product] = products;
	if (product === undefined) throw new Error("the catalogue is empty");
	const headers = onwardHeaders(request);
	const id = String(product.id);
	const [details, reviews] = await Promise.all([backend.details(id, headers, request.signal), backend.reviews(id, headers, request.signal)]);
	return html(200, buildProductPage(product, userFromCookie(request.headers.cookie), details, reviews));
}

function partHandler(fetchPart: (id: string, headers: Readonly<Record<string, string>>, signal: AbortSignal) => Promise<Part<unknown>>): Handler {
	return async (request, parameters) => {
		const id = parameters.get("id") ?? "";
		if (!/^\d{1,9}$/.test(id)) return json(400, { error: "please provide numeric product id" });
		const part = await fetchPart(id, onwardHeaders(request), request.signal);
		return part.kind === "ok" ? json(200, part.value) : json(part.status, { error: part.message });
	};
}

function onwardHeaders(request: AppRequest): Record<string, string> {
	const headers = forwardedHeaders(request.headers);
	const user = userFromCookie(request.headers.cookie);
	return user === undefined ? headers : { ...headers, "end-user": user };
}

function login(request: AppRequest): AppResponse {
	const user = new URLSearchParams(request.body.toString("utf8")).get("username") ?? "";
	if (!validUser(user)) return html(400, "The user name must be 1 to 64 visible ASCII characters.");
	return redirect(request, loginCookie(user));
}

/** Back to the page the form was on, but never to another site: only the referer's path is used. */
function redirect(request: AppRequest, cookie: string): AppResponse {
	const referer = request.headers.referer;
	const path = referer !== undefined && URL.canParse(referer) ? new URL(referer).pathname : "/productpage";
	const location = path.startsWith("/") && !path.startsWith("//") && path !== "/" ? path : "/productpage";
	return { status: 302, headers: { location, "set-cookie": cookie } };
}
