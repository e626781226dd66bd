import assert from "node:assert/strict";
import { test } from "node:test";
import { usableCipherSuites } from "./cipher-suites.ts";

test("suites that Envoy does not have, and those said before, are left out; the order stays", () => {
	assert.deepEqual(usableCipherSuites(["AES128-SHA", "NULL", "ECDHE-RSA-AES256-GCM-SHA384", "AES128-SHA", "constructor"]), [
		"AES128-SHA",
		"ECDHE-RSA-AES256-GCM-SHA384",
	]);
	assert.deepEqual(usableCipherSuites([]), []);
});
