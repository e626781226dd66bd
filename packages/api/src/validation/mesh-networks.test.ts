import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeMeshNetworksValue } from "./mesh-networks.ts";

const say = (input: unknown) => decodeMeshNetworksValue(input).diagnostics.map(({ severity, message, path }) => `${severity} ${path} ${message}`);
const network = (parts: object) => ({
	networks: { n: { endpoints: [{ fromRegistry: "Kubernetes" }], gateways: [{ address: "10.0.0.1", port: 443 }], ...parts } },
});

test("networks that say all they need are taken as they are", () => {
	const input = network({
		endpoints: [{ fromCidr: "10.0.0.0/8" }, { fromCidr: "fd00::/8" }],
		gateways: [{ registryServiceName: "gw.ns.svc.cluster.local", port: 15443 }],
	});
	assert.deepEqual(decodeMeshNetworksValue(input), { value: input, diagnostics: [] });
	assert.deepEqual(say(network({ gateways: [{ address: "gw.example.com", port: 443 }] })), []);
	assert.deepEqual(decodeMeshNetworksValue(undefined), { value: {}, diagnostics: [] });
});

for (const [title, parts, expected] of [
	["a range that is none", { endpoints: [{ fromCidr: "10.0.0.0/33" }] }, /^error .*fromCidr.* is no range of addresses/],
	["an address instead of a range", { endpoints: [{ fromCidr: "10.0.0.1" }] }, /^error .*fromCidr/],
	["endpoints of nowhere", { endpoints: [{}] }, /^error .*write fromCidr or fromRegistry/],
	["a gateway of nowhere", { gateways: [{ port: 443 }] }, /^error .*write address or registryServiceName/],
	["a port that is none", { gateways: [{ address: "10.0.0.1", port: 70000 }] }, /^error .*port/],
	["a gateway that is neither address nor name", { gateways: [{ address: "gw_1/x", port: 443 }] }, /^error .*an IP address or a name of DNS/],
	["a locality", { gateways: [{ address: "10.0.0.1", port: 443, locality: "r/z" }] }, /^warning .*no effect/],
	["an unknown field", { more: 1 }, /^warning .*more/],
] as const) {
	test(`${title} is reported`, () => {
		const said = say(network(parts));
		assert.equal(said.length, 1, said.join("\n"));
		assert.match(said[0] ?? "", expected);
	});
}
