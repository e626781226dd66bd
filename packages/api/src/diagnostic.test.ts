import assert from "node:assert/strict";
import { test } from "node:test";
import { diagnosticCodes, formatDiagnostic, hasErrors } from "./diagnostic.ts";

test("a diagnostic is one line: place, severity, code, object, path, message", () => {
	const line = formatDiagnostic({
		severity: "error",
		code: "IST0106",
		message: "mend it",
		path: "spec.http[0]",
		kind: "VirtualService",
		name: "reviews",
		namespace: "default",
		file: "a.yaml",
		line: 3,
		column: 7,
	});
	assert.equal(line, "a.yaml:3:7: error [IST0106] VirtualService default/reviews spec.http[0]: mend it");
});

test("what is not known is left out of the line", () => {
	assert.equal(formatDiagnostic({ severity: "warning", code: "WEFT-V001", message: "odd", path: "" }), "warning [WEFT-V001]: odd");
	const clusterWide = { severity: "info", code: "X", message: "m", path: "", kind: "Node", name: "n1", file: "f" } as const;
	assert.equal(formatDiagnostic(clusterWide), "f: info [X] Node n1: m");
});

test("codes are unique", () => {
	const codes = Object.values(diagnosticCodes);
	assert.equal(new Set(codes).size, codes.length);
});

test("only errors are errors", () => {
	assert.equal(hasErrors([{ severity: "warning", code: "X", message: "m", path: "" }]), false);
	assert.equal(hasErrors([{ severity: "error", code: "X", message: "m", path: "" }]), true);
});
