import assert from "node:assert/strict";
import { test } from "node:test";
import { parse } from "yaml";
import type { Diagnostic } from "../diagnostic.ts";
import { apiVersionsOf, type Kind, objectKindOf } from "../kinds.ts";
import { validateObject } from "./validate.ts";

/** A sentence, the spec in YAML, and what is said about it as `severity path: message`, in any order; none means valid. */
export type RuleCase = readonly [title: string, spec: string, ...expected: readonly RegExp[]];

export const say = (d: Diagnostic): string => `${d.severity} ${d.path}: ${d.message}`;

export function validateSpec(kind: Kind, spec: string, namespace = "default"): readonly Diagnostic[] {
	return validateObject({ apiVersion: apiVersionsOf(kind)[0], kind: objectKindOf(kind), metadata: { name: "x", namespace }, spec: parse(spec) as unknown });
}

/** Each expected line must be said, and nothing else. */
export function testRules(kind: Kind, cases: readonly RuleCase[]): void {
	for (const [title, spec, ...expected] of cases) {
		void test(`${kind}: ${title}`, () => {
			const said = validateSpec(kind, spec).map(say);
			for (const pattern of expected)
				assert.ok(
					said.some((line) => pattern.test(line)),
					`${pattern} not in\n${said.join("\n")}`,
				);
			assert.equal(said.length, expected.length, said.join("\n"));
		});
	}
}
