import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { CommandError } from "../output/errors.ts";
import { xdsCommand } from "./xds.ts";

const mesh = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: far, namespace: default}
spec: {hosts: [far.example.com], location: MESH_INTERNAL, resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}], endpoints: [{address: 10.0.0.1, network: here}, {address: 10.0.0.2, network: there, labels: {security.istio.io/tlsMode: istio}}]}
---
apiVersion: v1
kind: Pod
metadata: {name: a, namespace: default, labels: {topology.istio.io/network: here}}
spec: {containers: [{name: c, image: i}]}
status: {phase: Running, podIP: 10.0.0.9, podIPs: [{ip: 10.0.0.9}]}
`;

suite("weft xds over networks", () => {
	let folder: string;
	before(() => {
		folder = mkdtempSync(join(tmpdir(), "weft-xds-"));
		writeFileSync(join(folder, "mesh.yaml"), mesh);
	});
	after(() => rmSync(folder, { recursive: true }));

	/** Addresses of what the pod's requests go to, with the networks that the file declares. */
	function endpoints(networks?: string): readonly string[] {
		const file = join(folder, "networks");
		if (networks !== undefined) writeFileSync(file, networks);
		const out = join(folder, "out");
		xdsCommand({
			filename: [join(folder, "mesh.yaml")],
			proxy: "a.default",
			type: "eds",
			output: "json",
			out,
			...(networks !== undefined && { meshNetworks: file }),
		});
		return [...readFileSync(join(out, "eds.json"), "utf8").matchAll(/"address": "([^"]+)",\s*"portValue": (\d+)/g)].map(
			([, address, port]) => `${address}:${port}`,
		);
	}

	test("sends what is in another network to the gateway that --mesh-networks names", () => {
		assert.deepEqual(endpoints(), ["10.0.0.1:80", "10.0.0.2:80"]);
		assert.deepEqual(endpoints("networks: {there: {gateways: [{address: 192.0.2.1, port: 15443}]}}"), ["10.0.0.1:80", "192.0.2.1:15443"]);
		assert.deepEqual(endpoints("networks: {there: {gateways: [{address: gw.example.com, port: 15443}]}}"), ["10.0.0.1:80"]);
	});

	test("says what is wrong with them", () => {
		assert.throws(() => endpoints("networks: {there: {gateways: [{port: 1}]}}"), CommandError);
	});
});
