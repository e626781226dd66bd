import assert from "node:assert/strict";
import { test } from "node:test";
import { didYouMean, nearNames, quote } from "./suggestion.ts";

test("a slip of the finger is recognised", () => {
	assert.deepEqual(nearNames("VirtualSerivce", ["VirtualService", "Service"]), ["VirtualService"]);
	assert.equal(didYouMean("conectTimeout", ["connectTimeout", "idleTimeout"]), '; did you mean "connectTimeout"?');
});

test("snake_case and capitals are the same name", () => {
	assert.deepEqual(nearNames("per_try_timeout", ["perTryTimeout", "timeout"]), ["perTryTimeout"]);
});

test("nothing is suggested for a name that is far from all, or absurdly long", () => {
	assert.equal(didYouMean("banana", ["hosts", "http"]), "");
	assert.deepEqual(nearNames("h".repeat(1000), ["http"]), []);
});

test("untrusted text in a message is bounded and stays on its line", () => {
	assert.equal(quote("x".repeat(500)).length, 78);
	assert.equal(quote("a\nb"), '"a\\nb"');
});
