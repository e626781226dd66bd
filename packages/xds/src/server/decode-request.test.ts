import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { DeltaDiscoveryRequest } from "../generated/envoy/service/discovery/v3/discovery.ts";
import { decodeDelta } from "./decode-request.ts";

const text = fc.oneof(fc.string({ unit: "binary" }), fc.string({ minLength: 100, maxLength: 300 }), fc.constant("x".repeat(20_000)));
const field = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });

const requests = fc.record({
	typeUrl: text,
	responseNonce: text,
	resourceNamesSubscribe: fc.array(text, { maxLength: 4 }),
	resourceNamesUnsubscribe: fc.array(text, { maxLength: 4 }),
	node: field(fc.record({ id: text })),
	errorDetail: field(fc.record({ message: text })),
	initialResourceVersions: field(fc.dictionary(fc.string(), fc.string(), { maxKeys: 3 })),
});

test("a delta request says what its message does, with and without what most lack", () => {
	fc.assert(
		fc.property(requests, (fields) => {
			const bytes = Buffer.from(DeltaDiscoveryRequest.encode(DeltaDiscoveryRequest.fromPartial(fields)).finish());
			const message = DeltaDiscoveryRequest.decode(bytes);
			const { change, ...rest } = decodeDelta(bytes);
			assert.deepEqual(rest, { node: message.node, typeUrl: message.typeUrl, nonce: message.responseNonce, error: message.errorDetail?.message });
			assert.ok(change.protocol === "delta");
			assert.deepEqual([change.subscribe, change.unsubscribe], [message.resourceNamesSubscribe, message.resourceNamesUnsubscribe]);
			assert.deepEqual({ ...change.initial }, { ...message.initialResourceVersions });
		}),
	);
});

test("what is no message is refused, wherever it ends", () => {
	const whole = Buffer.from(DeltaDiscoveryRequest.encode(DeltaDiscoveryRequest.fromPartial({ typeUrl: "t".repeat(200), responseNonce: "7.1" })).finish());
	for (let length = 1; length < whole.length; length++) {
		const cut = whole.subarray(0, length);
		let expected: unknown;
		try {
			expected = DeltaDiscoveryRequest.decode(cut).typeUrl;
		} catch {
			assert.throws(() => decodeDelta(cut), `${length} bytes`);
			continue;
		}
		assert.equal(decodeDelta(cut).typeUrl, expected, `${length} bytes`);
	}
});

test("the same names in the same bytes are read once, other names are not taken for them", () => {
	const requestFor = (names: readonly string[]) =>
		Buffer.from(DeltaDiscoveryRequest.encode(DeltaDiscoveryRequest.fromPartial({ typeUrl: "t", resourceNamesSubscribe: [...names] })).finish());
	const lists = Array.from({ length: 6 }, (_, list) => Array.from({ length: 100 }, (_, i) => `outbound|80||service-${(i + list) % 103}`));
	for (let round = 0; round < 2; round++) {
		for (const names of lists) {
			const { change } = decodeDelta(requestFor(names));
			assert.ok(change.protocol === "delta");
			assert.deepEqual(change.subscribe, names);
		}
	}
	const [names = []] = lists;
	assert.equal(decodeDelta(requestFor(names)), decodeDelta(requestFor(names)));
});
