import { type AppRequest, json } from "./http-server.ts";
import { decodeMultipart, multipartBoundary } from "./multipart.ts";

type Lists = Readonly<Record<string, readonly string[]>>;

/** Headers as httpbin shows them: canonical case, every value in a list. */
export function headerLists(request: AppRequest): Lists {
	const lists = new Map<string, string[]>();
	for (let index = 0; index + 1 < request.rawHeaders.length; index += 2) {
		append(lists, canonicalName(request.rawHeaders[index] ?? ""), request.rawHeaders[index + 1] ?? "");
	}
	return Object.fromEntries(lists);
}

/** Query or form parameters, every value in a list. */
export function parameterLists(parameters: URLSearchParams): Lists {
	const lists = new Map<string, string[]>();
	for (const [name, value] of parameters) append(lists, name, value);
	return Object.fromEntries(lists);
}

/** The fields that `/get`, `/post` and `/anything` share. */
export function requestValues(request: AppRequest): Record<string, unknown> {
	const host = request.headers.host ?? "localhost";
	return {
		args: parameterLists(request.query),
		headers: headerLists(request),
		method: request.method,
		origin: originOf(request),
		url: `${schemeOf(request)}://${host}${request.target}`,
	};
}

/** The same with the body in the forms httpbin decodes it to. */
export function bodyValues(request: AppRequest): Record<string, unknown> {
	const type = (request.headers["content-type"] ?? "").toLowerCase();
	const data = request.body.toString("utf8");
	const values = { ...requestValues(request), data, files: {} as Lists, form: {} as Lists, json: null as unknown };
	if (type.startsWith("application/x-www-form-urlencoded")) return { ...values, form: parameterLists(new URLSearchParams(data)) };
	if (type.startsWith("application/json")) return { ...values, json: parseJson(data) };
	const boundary = multipartBoundary(request.headers["content-type"]);
	if (boundary === undefined) return values;
	const files = new Map<string, string[]>();
	const form = new Map<string, string[]>();
	for (const part of decodeMultipart(request.body, boundary) ?? []) {
		append(part.filename === undefined ? form : files, part.name, part.body.toString("utf8"));
	}
	return { ...values, files: Object.fromEntries(files), form: Object.fromEntries(form) };
}

export function originOf(request: AppRequest): string {
	const forwarded = request.headers["x-forwarded-for"];
	const first = typeof forwarded === "string" ? forwarded.split(",")[0]?.trim() : undefined;
	return first !== undefined && first !== "" ? first : request.remoteAddress;
}

/** Cookies of the request by name. */
export function cookiesOf(request: AppRequest): Record<string, string> {
	const cookies = new Map<string, string>();
	for (const pair of (request.headers.cookie ?? "").split(";")) {
		const mark = pair.indexOf("=");
		if (mark > 0) cookies.set(pair.slice(0, mark).trim(), pair.slice(mark + 1).trim());
	}
	return Object.fromEntries(cookies);
}

export const badRequest = (message: string) => json(400, { status_code: 400, error: "Bad Request", detail: message });

function schemeOf(request: AppRequest): string {
	return request.headers["x-forwarded-proto"] === "https" ? "https" : "http";
}

function canonicalName(name: string): string {
	return name
		.split("-")
		.map((word) => word.slice(0, 1).toUpperCase() + word.slice(1).toLowerCase())
		.join("-");
}

function append(lists: Map<string, string[]>, name: string, value: string): void {
	const list = lists.get(name);
	if (list === undefined) lists.set(name, [value]);
	else list.push(value);
}

function parseJson(text: string): unknown {
	try {
		return JSON.parse(text);
	} catch {
		// httpbin shows null for a body that only claims to be JSON.
		return null;
	}
}
