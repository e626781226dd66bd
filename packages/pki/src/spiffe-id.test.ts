import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { decodeSpiffeId, formatSpiffeId } from "./spiffe-id.ts";

describe("decodeSpiffeId", () => {
	for (const uri of [
		"spiffe://cluster.local/ns/default/sa/web",
		"spiffe://td-1.example_x/ns/a/sa/b.c-d",
		`spiffe://cluster.local/ns/${"n".repeat(63)}/sa/${"s".repeat(253)}`,
	]) {
		test(`accepts ${uri.slice(0, 50)} and writes it back`, () => {
			const id = decodeSpiffeId(uri);
			assert.ok(id.ok);
			assert.equal(formatSpiffeId(id.value), uri);
		});
	}

	const refused = [
		"",
		"spiffe://cluster.local",
		"spiffe://cluster.local/ns/default",
		"spiffe://cluster.local/ns/default/sa/web/",
		"spiffe://cluster.local/ns/default/sa/web/x",
		"spiffe://cluster.local//ns/default/sa/web",
		"spiffe:///ns/default/sa/web",
		"SPIFFE://cluster.local/ns/default/sa/web",
		"http://cluster.local/ns/default/sa/web",
		"spiffe://Cluster.local/ns/default/sa/web",
		"spiffe://cluster.local:80/ns/default/sa/web",
		"spiffe://user@cluster.local/ns/default/sa/web",
		"spiffe://cluster.local/ns/default/sa/web?x",
		"spiffe://cluster.local/ns/default/sa/web#x",
		"spiffe://cluster.local/ns/default/sa/web%00",
		"spiffe://cluster.local/ns/default/sa/web\u0000",
		"spiffe://cluster.local/ns/default/sa/web\n",
		"spiffe://cluster.local/ns/default/sa/w\u00e9b",
		"spiffe://cluster.local/ns/../sa/web",
		"spiffe://cluster.local/ns//sa/web",
		"spiffe://cluster.local/ns/a.b/sa/web",
		"spiffe://cluster.local/ns/default/sa/-web",
		"spiffe://cluster.local/sa/default/ns/web",
		"spiffe://cluster。local/ns/default/sa/web",
		`spiffe://${"t".repeat(256)}/ns/default/sa/web`,
		`spiffe://cluster.local/ns/${"n".repeat(64)}/sa/web`,
		`spiffe://cluster.local/ns/default/sa/${"s".repeat(254)}`,
		`spiffe://cluster.local/ns/default/sa/${"s".repeat(5000)}`,
	];
	for (const uri of refused) {
		test(`refuses ${JSON.stringify(uri.slice(0, 60))}`, () => assert.equal(decodeSpiffeId(uri).ok, false));
	}
});
