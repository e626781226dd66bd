import type { BookDetails, Part, Review, Reviews } from "./bookinfo-backend.ts";
import { escapeHtml } from "./html-text.ts";

export type Product = { readonly id: number; readonly title: string; readonly descriptionHtml: string };

export const products: readonly Product[] = [
	{
		id: 0,
		title: "The Comedy of Errors",
		descriptionHtml:
			"One of Shakespeare's <b>early plays</b>: two pairs of identical twins, parted at birth, come to the same town on the same day, and everybody takes each for the other.",
	},
];

const starsMax = 5;

const style = `body{font-family:system-ui,sans-serif;margin:0;color:#222}header{background:#1f3a5f;color:#fff;padding:.8em 2em;display:flex;gap:1em;align-items:center}
header form,header span{margin-left:auto}main{max-width:60em;margin:2em auto;padding:0 1em}section{display:inline-block;vertical-align:top;width:47%;margin-right:2%}
dt{font-weight:600}blockquote{margin:0 0 1em;padding:.5em 1em;border-left:4px solid #ccc}.error{color:#a00}a{color:inherit}`;

function layout(header: string, body: string): string {
	return `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Simple Bookstore App</title><style>${style}</style></head>
<body><header><strong>BookInfo Sample</strong>${header}</header><main>
${body}
</main></body></html>
`;
}

/** The entry page: where to go from here. */
export function buildIndexPage(): string {
	return layout("", `<h1>Hello! This is a simple bookstore application.</h1><p><a href="/productpage">Normal user</a> shows the product page.</p>`);
}

/** The product page. A part that failed shows its error in place; the page itself is whole. */
export function buildProductPage(product: Product, user: string | undefined, details: Part<BookDetails>, reviews: Part<Reviews>): string {
	const header =
		user === undefined
			? `<form method="post" action="/login"><input name="username" placeholder="User name" required><input name="passwd" type="password" placeholder="Password"><button>Sign in</button></form>`
			: `<span>${escapeHtml(user)} (<a href="/logout">sign out</a>)</span>`;
	const body = `<h1>${escapeHtml(product.title)}</h1><p>Summary: ${product.descriptionHtml}</p>
<section><h2>Book Details</h2>${details.kind === "ok" ? detailsList(details.value) : errorBox("details", details.message)}</section>
<section><h2>Book Reviews</h2>${reviews.kind === "ok" ? reviewsList(reviews.value) : errorBox("reviews", reviews.message)}</section>`;
	return layout(header, body);
}

function errorBox(part: string, message: string): string {
	return `<h3 class="error">Error fetching product ${part}!</h3><p>${escapeHtml(message)}</p>`;
}

function detailsList(details: BookDetails): string {
	const rows = Object.entries(details)
		.filter(([name]) => name !== "id")
		.map(([name, value]) => `<dt>${escapeHtml(name)}</dt><dd>${escapeHtml(String(value))}</dd>`);
	return `<dl>${rows.join("")}</dl>`;
}

function reviewsList(reviews: Reviews): string {
	const items = reviews.reviews.map((review) => {
		return `<blockquote><p>${escapeHtml(review.text)}</p><small>${escapeHtml(review.reviewer)}</small>${ratingText(review.rating)}</blockquote>`;
	});
	const cluster = reviews.clustername === "null" ? "" : `<dt>Cluster</dt><dd>${escapeHtml(reviews.clustername)}</dd>`;
	return `${items.join("\n")}<dl><dt>Reviews served by</dt><dd><u>${escapeHtml(reviews.podname)}</u></dd>${cluster}</dl>`;
}

function ratingText(rating: Review["rating"]): string {
	if (rating === undefined) return "";
	if (rating.error !== undefined) return `<p class="error"><i>${escapeHtml(rating.error)}</i></p>`;
	const full = Math.max(0, Math.min(starsMax, Math.round(rating.stars ?? 0)));
	// The colour names a CSS colour; anything else an answer might carry must not reach the attribute.
	const color = rating.color === "red" ? "red" : "black";
	const stars = `<span class="glyphicon-star">★</span>`.repeat(full) + `<span class="glyphicon-star-empty">☆</span>`.repeat(starsMax - full);
	return `<p style="color:${color}" title="${full} of ${starsMax} stars"><font color="${color}">${stars}</font></p>`;
}
