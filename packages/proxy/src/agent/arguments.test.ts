import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { decodeAgentArguments } from "./arguments.ts";

const nodeId = "sidecar~10.0.0.1~web-1.default~default.svc.cluster.local";
const decode = (argv: readonly string[], env: Record<string, string> = {}) => decodeAgentArguments(["--node-id", nodeId, ...argv], env);

function accept(argv: readonly string[], env?: Record<string, string>) {
	const options = decode(argv, env);
	assert.ok(options.ok, JSON.stringify(options));
	return options.value;
}

describe("decodeAgentArguments", () => {
	test("defaults are those of a pod in Istio's mesh", () => {
		assert.deepEqual(accept([]), {
			xdsHeaders: {},
			caHeaders: {},
			asksForBootstrap: false,
			discoveryAddress: "istiod.istio-system.svc:15012",
			caAddress: "istiod.istio-system.svc:15012",
			rootCertFile: "/var/run/secrets/istio/root-cert.pem",
			caRootCertFile: undefined,
			caServerName: undefined,
			tokenFile: "/var/run/secrets/tokens/istio-token",
			requestedId: undefined,
			secretTtlMs: undefined,
			serverName: undefined,
			node: { id: nodeId, cluster: "web-1.default", metadata: {}, locality: undefined },
			adminPort: 15_000,
			delta: true,
			envoyPath: "envoy",
			stateDirectory: undefined,
			credentials: {},
			crlFile: "/var/run/secrets/istio/crl/ca-crl.pem",
			logLevel: "info",
			envoyArguments: [],
		});
	});

	test("what follows the first -- is Envoy's, word for word", () => {
		const { envoyArguments, adminPort } = accept(["--admin-port=0", "--", "-l", "debug", "--", "--admin-port", "x"]);
		assert.deepEqual([envoyArguments, adminPort], [["-l", "debug", "--", "--admin-port", "x"], 0]);
	});

	test("the authority is where discovery is, unless a flag or CA_ADDR says otherwise", () => {
		const discovery = ["--discovery-address", "a:1"];
		assert.equal(accept(discovery).caAddress, "a:1");
		assert.equal(accept(discovery, { CA_ADDR: "b:2" }).caAddress, "b:2");
		assert.equal(accept([...discovery, "--ca-address", "c:3"], { CA_ADDR: "b:2" }).caAddress, "c:3");
	});

	test("each server is held against its own roots and name, where it has them", () => {
		const of = (argv: readonly string[], env?: Record<string, string>) => {
			const { rootCertFile, caRootCertFile, serverName, caServerName } = accept(["--discovery-address", "a.test:1", ...argv], env);
			return [rootCertFile, caRootCertFile, serverName, caServerName];
		};
		const usual = "/var/run/secrets/istio/root-cert.pem";
		assert.deepEqual(of([], { CA_ADDR: "csr.cert-manager.svc:443" }), [usual, undefined, undefined, "csr.cert-manager.svc"]);
		assert.deepEqual(of([], { CA_ADDR: "10.0.0.1:443", XDS_ROOT_CA: "/x", CA_ROOT_CA: "SYSTEM", CA_PROVIDER: "Citadel" }), [
			"/x",
			"SYSTEM",
			undefined,
			undefined,
		]);
		assert.deepEqual(of(["--root-cert", "/y", "--ca-root-cert", "/z"], { XDS_ROOT_CA: "/x", CA_ROOT_CA: "/x" }), ["/y", "/z", undefined, undefined]);
	});

	test("a pod's node id is made of its environment", () => {
		const options = decodeAgentArguments([], { POD_NAME: "web-1", POD_NAMESPACE: "default", INSTANCE_IP: "10.0.0.1" });
		assert.equal(options.ok && options.value.node.id, nodeId);
	});

	test("node metadata is the flag over the ISTIO_META_ variables", () => {
		const env = { ISTIO_META_CLUSTER_ID: "c1", ISTIO_META_MESH_ID: "m1", ISTIO_METADATA: "no", ISTIO_META_: "no" };
		const { metadata } = accept(["--node-metadata", '{"CLUSTER_ID":"c2","LABELS":{"app":"web"}}'], env).node;
		assert.deepEqual(metadata, { CLUSTER_ID: "c2", MESH_ID: "m1", LABELS: { app: "web" } });
	});

	test("node metadata comes from a file after @", async () => {
		const directory = await mkdtemp(join(tmpdir(), "weft-arguments-"));
		await writeFile(join(directory, "node.json"), '{"NAMESPACE":"default"}');
		assert.deepEqual(accept(["--node-metadata", `@${directory}/node.json`]).node.metadata, { NAMESPACE: "default" });
		await rm(directory, { recursive: true });
		assert.equal(decode(["--node-metadata", `@${directory}/node.json`]).ok, false);
	});

	test("locality comes from the flag, or from the label with dots for slashes", () => {
		const label = ["--node-metadata", '{"LABELS":{"istio-locality":"r1.z1.s1"}}'];
		assert.deepEqual(accept(label).node.locality, { region: "r1", zone: "z1", subZone: "s1" });
		assert.deepEqual(accept([...label, "--locality", "r2/z2"]).node.locality, { region: "r2", zone: "z2", subZone: "" });
	});

	test("durations are hours, minutes and seconds", () => {
		assert.equal(accept(["--secret-ttl", "1h30m10s"]).secretTtlMs, 5_410_000);
		assert.equal(accept([], { SECRET_TTL: "24h0m0s" }).secretTtlMs, 86_400_000);
	});

	const refused: Record<string, [readonly string[], RegExp]> = {
		"an unknown flag": [["--foo"], /Unknown option '--foo'/],
		"a word that is no flag": [["envoy"], /positional/],
		"a flag without its value": [["--root-cert"], /argument missing/],
		"an address without a port": [["--discovery-address", "istiod"], /--discovery-address "istiod": HOST:PORT/],
		"an authority without a port": [["--ca-address", "istiod:http"], /--ca-address "istiod:http"/],
		"a port out of range": [["--admin-port", "65536"], /--admin-port/],
		"a port that is none": [["--admin-port", "x"], /--admin-port/],
		"a protocol that is none": [["--xds-protocol", "rest"], /delta or sotw/],
		"a level that is none": [["--log-level", "loud"], /one of debug/],
		"a duration that is none": [["--secret-ttl", "24"], /--secret-ttl "24"/],
		"a duration of nothing": [["--secret-ttl", "0s"], /--secret-ttl "0s"/],
		"metadata that is no JSON": [["--node-metadata", "{"], /--node-metadata/],
		"metadata that is no object": [["--node-metadata", "[]"], /a JSON object/],
		"a locality of four parts": [["--locality", "a/b/c/d"], /REGION/],
		"a node id of another shape": [["--node-id", "web"], /TYPE~IP~POD/],
		"a bootstrap of Envoy's own": [["--", "-c", "envoy.yaml"], /the agent generates/],
		"a bootstrap of Envoy's own, spelled out": [["--", "--config-path=x"], /the agent generates/],
	};
	for (const [name, [argv, reason]] of Object.entries(refused)) {
		test(`refuses ${name}`, () => {
			const options = decode(argv);
			assert.ok(!options.ok);
			assert.match(options.reason, reason);
			assert.doesNotMatch(options.reason, /\n/);
		});
	}

	test("refuses to guess a node", () => {
		const options = decodeAgentArguments([], { POD_NAME: "web-1", POD_NAMESPACE: "default" });
		assert.match(options.ok ? "" : options.reason, /--node-id is missing/);
	});
});
