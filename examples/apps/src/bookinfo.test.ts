import assert from "node:assert/strict";
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { type TestContext, test } from "node:test";
import { startDetails } from "./bookinfo-details.ts";
import { startProductpage } from "./bookinfo-productpage.ts";
import { startRatings } from "./bookinfo-ratings.ts";
import { resolveReviewsVersion, startReviews } from "./bookinfo-reviews.ts";
import type { Environment } from "./environment.ts";
import { jsonOf, startTestApp, type TestApp } from "./test-app.ts";

function at(name: string, app: TestApp): Environment {
	return { [`${name}_HOSTNAME`]: "127.0.0.1", [`${name}_SERVICE_PORT`]: String(app.ports[0]) };
}

/** A server that records what it was sent and answers every request with one status. */
async function recorder(t: TestContext, status: number, body: string) {
	const seen: { readonly url: string; readonly headers: IncomingHttpHeaders }[] = [];
	const server = createServer((request, response) => {
		seen.push({ url: request.url ?? "", headers: request.headers });
		response.writeHead(status, { "content-type": "application/json" }).end(body);
	});
	await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
	t.after(() => {
		server.closeAllConnections();
		server.close();
	});
	return { seen, port: String((server.address() as AddressInfo).port) };
}

test("details answers the book and refuses an id that is no number", async (t) => {
	const app = await startTestApp(t, startDetails);
	assert.equal((jsonOf(await app.send("/details/0")) as { author: string }).author, "William Shakespeare");
	assert.equal((await app.send("/details/x")).status, 400);
	assert.deepEqual(jsonOf(await app.send("/health")), { status: "Details is healthy" });
	assert.equal((await app.send("/healthz")).status, 200);
});

test("ratings answers two reviewers and keeps what is posted", async (t) => {
	const app = await startTestApp(t, startRatings);
	assert.deepEqual(jsonOf(await app.send("/ratings/0")), { id: 0, ratings: { Reviewer1: 5, Reviewer2: 4 } });
	assert.equal((await app.send("/ratings/0", { method: "POST", body: Buffer.from('{"Reviewer1":1}') })).status, 200);
	assert.deepEqual(jsonOf(await app.send("/ratings/0")), { id: 0, ratings: { Reviewer1: 1 } });
	assert.equal((await app.send("/ratings/0", { method: "POST", body: Buffer.from("[]") })).status, 400);
});

test("reviews shows no stars in v1, black ones in v2 and red ones in v3", async (t) => {
	const ratings = await startTestApp(t, startRatings);
	const expected = [
		["v1", undefined],
		["v2", { stars: 5, color: "black" }],
		["v3", { stars: 5, color: "red" }],
	] as const;
	for (const [version, rating] of expected) {
		const app = await startTestApp(t, startReviews, {
			SERVICE_VERSION: version,
			POD_NAME: `reviews-${version}-pod`,
			...at("RATINGS", ratings),
		});
		const body = jsonOf(await app.send("/reviews/0")) as { id: string; podname: string; reviews: { reviewer: string; rating?: unknown }[] };
		assert.equal(body.id, "0");
		assert.equal(body.podname, `reviews-${version}-pod`);
		assert.deepEqual(
			body.reviews.map((review) => review.reviewer),
			["Reviewer1", "Reviewer2"],
		);
		assert.deepEqual(body.reviews[0]?.rating, rating);
	}
});

test("reviews waits for ratings as long as the well-known app does", () => {
	assert.equal(resolveReviewsVersion({ SERVICE_VERSION: "v2" }).ratingsTimeoutMs, 10_000);
	assert.equal(resolveReviewsVersion({ SERVICE_VERSION: "v3" }).ratingsTimeoutMs, 2_500);
	assert.equal(resolveReviewsVersion({ SERVICE_VERSION: "v1" }).ratings, false);
});

test("reviews says that ratings is unavailable, and stays 200, when it fails", async (t) => {
	const failing = await recorder(t, 500, "{}");
	const app = await startTestApp(t, startReviews, {
		SERVICE_VERSION: "v2",
		RATINGS_HOSTNAME: "127.0.0.1",
		RATINGS_SERVICE_PORT: failing.port,
	});
	const response = await app.send("/reviews/0");
	assert.equal(response.status, 200);
	assert.match(response.body.toString(), /"rating":\{"error":"Ratings service is currently unavailable"\}/);
	assert.equal(failing.seen.length, 1);
});

test("productpage shows details and reviews with their pod and stars", async (t) => {
	const ratings = await startTestApp(t, startRatings);
	const details = await startTestApp(t, startDetails);
	const reviews = await startTestApp(t, startReviews, { SERVICE_VERSION: "v3", POD_NAME: "reviews-v3-1", ...at("RATINGS", ratings) });
	const page = await startTestApp(t, startProductpage, { ...at("DETAILS", details), ...at("REVIEWS", reviews), ...at("RATINGS", ratings) });
	const response = await page.send("/productpage");
	const html = response.body.toString();
	assert.equal(response.status, 200);
	assert.match(html, /<title>Simple Bookstore App<\/title>/);
	assert.match(html, /William Shakespeare/);
	assert.match(html, /<u>reviews-v3-1<\/u>/);
	assert.match(html, /<font color="red">/);
	assert.equal((jsonOf(await page.send("/api/v1/products")) as unknown[]).length, 1);
	assert.match((await page.send("/api/v1/products/0")).body.toString(), /ISBN-13/);
	assert.match((await page.send("/api/v1/products/0/reviews")).body.toString(), /Reviewer2/);
	assert.match((await page.send("/api/v1/products/0/ratings")).body.toString(), /"Reviewer1":5/);
});

test("productpage tries failing reviews twice, then shows the error in place and passes the status on", async (t) => {
	const details = await startTestApp(t, startDetails);
	const failing = await recorder(t, 503, "{}");
	const page = await startTestApp(t, startProductpage, {
		...at("DETAILS", details),
		REVIEWS_HOSTNAME: "127.0.0.1",
		REVIEWS_SERVICE_PORT: failing.port,
	});
	const response = await page.send("/productpage");
	assert.equal(response.status, 200);
	assert.match(response.body.toString(), /Error fetching product reviews!/);
	assert.match(response.body.toString(), /William Shakespeare/);
	assert.equal(failing.seen.length, 2);
	assert.equal((await page.send("/api/v1/products/0/reviews")).status, 503);
});

test("signing in makes the page send end-user onward, signing out stops it", async (t) => {
	const backend = await recorder(t, 200, '{"podname":"p","clustername":"null","reviews":[]}');
	const hosts = {
		DETAILS_HOSTNAME: "127.0.0.1",
		DETAILS_SERVICE_PORT: backend.port,
		REVIEWS_HOSTNAME: "127.0.0.1",
		REVIEWS_SERVICE_PORT: backend.port,
	};
	const page = await startTestApp(t, startProductpage, hosts);
	const form = { "content-type": "application/x-www-form-urlencoded", referer: "http://elsewhere.example//evil" };
	const signedIn = await page.send("/login", { method: "POST", headers: form, body: Buffer.from("username=jason&passwd=x") });
	assert.equal(signedIn.status, 302);
	assert.equal(signedIn.headers.location, "/productpage");
	const cookie = signedIn.headers["set-cookie"]?.[0]?.split(";")[0] ?? "";
	await page.send("/productpage", { headers: { cookie, "x-request-id": "abc", traceparent: "00-1", "x-b3-traceid": "1f" } });
	assert.equal(backend.seen.length, 2);
	for (const { headers } of backend.seen) {
		assert.equal(headers["end-user"], "jason");
		assert.equal(headers["x-request-id"], "abc");
		assert.equal(headers.traceparent, "00-1");
		assert.equal(headers["x-b3-traceid"], "1f");
	}
	assert.match((await page.send("/logout")).headers["set-cookie"]?.[0] ?? "", /Max-Age=0/);
	assert.equal((await page.send("/login", { method: "POST", headers: form, body: Buffer.from("username=a%0D%0Ab") })).status, 400);
});
