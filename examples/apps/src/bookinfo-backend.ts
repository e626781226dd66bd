import { serviceUrl } from "./bookinfo-hosts.ts";
import type { AppContext } from "./environment.ts";
import type { HttpClient } from "./http-client.ts";
import { errorText } from "./http-server.ts";

export type BookDetails = Readonly<Record<string, string | number>>;

export type Review = {
	readonly reviewer: string;
	readonly text: string;
	readonly rating?: { readonly stars?: number; readonly color?: string; readonly error?: string };
};

export type Reviews = { readonly podname: string; readonly clustername: string; readonly reviews: readonly Review[] };

/** What a page part shows: the answer, or the status and the sentence to show instead. */
export type Part<T> = { readonly kind: "ok"; readonly value: T } | { readonly kind: "error"; readonly status: number; readonly message: string };

export type Backend = {
	readonly details: (id: string, headers: Readonly<Record<string, string>>, signal: AbortSignal) => Promise<Part<BookDetails>>;
	readonly reviews: (id: string, headers: Readonly<Record<string, string>>, signal: AbortSignal) => Promise<Part<Reviews>>;
	readonly ratings: (id: string, headers: Readonly<Record<string, string>>, signal: AbortSignal) => Promise<Part<unknown>>;
};

// The page's own limit. With one retry for reviews a 7 s delay below shows as an error after 6 s, which the fault injection task explains.
const attemptTimeoutMs = 3_000;
const reviewsAttempts = 2;

/** Calls the three services behind the page. Failures come back as parts, never as a throw. */
export function createBackend(context: AppContext, client: HttpClient): Backend {
	const call = (service: "details" | "ratings" | "reviews", attempts: number) => {
		const message = `Sorry, product ${service} are currently unavailable for this book.`;
		return async (id: string, headers: Readonly<Record<string, string>>, signal: AbortSignal): Promise<Part<unknown>> => {
			const url = `${serviceUrl(context.env, service)}/${service}/${id}`;
			let status = 500;
			for (let attempt = 1; attempt <= attempts && !signal.aborted; attempt++) {
				const result = await fetchJson(context, client, url, headers, signal);
				if (result.status === 200) return { kind: "ok", value: result.value };
				status = result.status;
			}
			return { kind: "error", status, message };
		};
	};
	const details = call("details", 1);
	const reviews = call("reviews", reviewsAttempts);
	return {
		details: async (...args) => decodePart(await details(...args), decodeDetails, "details"),
		reviews: async (...args) => decodePart(await reviews(...args), decodeReviews, "reviews"),
		ratings: call("ratings", 1),
	};
}

async function fetchJson(
	context: AppContext,
	client: HttpClient,
	url: string,
	headers: Readonly<Record<string, string>>,
	signal: AbortSignal,
): Promise<{ readonly status: number; readonly value?: unknown }> {
	try {
		const response = await client.send({ url, headers, timeoutMs: attemptTimeoutMs, signal });
		if (response.status !== 200) return { status: response.status };
		return { status: 200, value: JSON.parse(response.body.toString("utf8")) };
	} catch (error) {
		if (!signal.aborted) context.log(errorText(error));
		return { status: 500 };
	}
}

function decodePart<T>(part: Part<unknown>, decode: (value: unknown) => T | undefined, service: string): Part<T> {
	if (part.kind === "error") return part;
	const value = decode(part.value);
	if (value !== undefined) return { kind: "ok", value };
	return { kind: "error", status: 502, message: `The ${service} service sent an answer this page does not understand.` };
}

function decodeDetails(value: unknown): BookDetails | undefined {
	if (typeof value !== "object" || value === null) return undefined;
	const pairs = Object.entries(value).filter((pair): pair is [string, string | number] => typeof pair[1] === "string" || typeof pair[1] === "number");
	return Object.fromEntries(pairs);
}

function decodeReviews(value: unknown): Reviews | undefined {
	if (typeof value !== "object" || value === null || !("reviews" in value) || !Array.isArray(value.reviews)) return undefined;
	const podname = "podname" in value ? String(value.podname) : "";
	const clustername = "clustername" in value ? String(value.clustername) : "null";
	return { podname, clustername, reviews: value.reviews.map(decodeReview).filter((review) => review !== undefined) };
}

function decodeReview(value: unknown): Review | undefined {
	if (typeof value !== "object" || value === null || !("reviewer" in value) || !("text" in value)) return undefined;
	const review = { reviewer: String(value.reviewer), text: String(value.text) };
	if (!("rating" in value) || typeof value.rating !== "object" || value.rating === null) return review;
	const { rating } = value;
	if ("error" in rating) return { ...review, rating: { error: String(rating.error) } };
	const stars = "stars" in rating ? Number(rating.stars) : 0;
	return { ...review, rating: { stars, color: "color" in rating ? String(rating.color) : "black" } };
}
