import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { CommandError } from "../output/errors.ts";
import { type XdsOptions, xdsCommand } from "./xds.ts";

const folder = mkdtempSync(path.join(os.tmpdir(), "weft-xds-"));
after(() => rmSync(folder, { recursive: true }));

function file(name: string, text: string): string {
	const at = path.join(folder, name);
	writeFileSync(at, text);
	return at;
}

const pod = (name: string, ip: string, labels: string) => `
apiVersion: v1
kind: Pod
metadata: {name: ${name}, namespace: shop, labels: {${labels}}}
spec: {serviceAccountName: default, containers: [{name: app, image: example/app:1}]}
status: {phase: Running, podIP: ${ip}, podIPs: [{ip: ${ip}}]}
---`;
const service = (port: number) => `
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec: {clusterIP: 10.96.0.9, clusterIPs: [10.96.0.9], selector: {app: cart}, ports: [{name: http, port: ${port}, protocol: TCP, targetPort: 8080}]}
---`;
const mesh = file(
	"mesh.yaml",
	`${service(80)}${pod("client", "10.0.0.1", "app: client")}${pod("entry", "10.0.0.2", "istio: ingressgateway")}${pod("edge", "10.0.0.3", "edge: public")}`,
);

/** Names of what is sent, by type. */
function ask(options: Partial<XdsOptions>): Readonly<Record<string, readonly string[]>> {
	const out = mkdtempSync(path.join(folder, "out-"));
	xdsCommand({ filename: [mesh], output: "json", out, ...options });
	const read = (type: string) =>
		(JSON.parse(readFileSync(path.join(out, type), "utf8")) as { name?: string; clusterName?: string }[]).map((r) => r.name ?? r.clusterName ?? "");
	return Object.fromEntries(readdirSync(out).map((type) => [type.replace(".json", ""), read(type)]));
}

test("a later path replaces what an earlier one says of the same object", () => {
	const clusters = (...filename: readonly string[]) => ask({ filename, proxy: "client.shop" })["cds"]?.filter((name) => name.includes("cart"));
	const newer = file("newer.yaml", service(81));
	assert.deepEqual(clusters(mesh, newer), ["outbound|81||cart.shop.svc.cluster.local"]);
	assert.deepEqual(clusters(newer, mesh), ["outbound|80||cart.shop.svc.cluster.local"]);
});

test("a gateway's pod gets what a gateway gets", () => {
	const gateway = file(
		"gateway.yaml",
		`
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: public, namespace: shop}
spec:
  selector: {edge: public}
  servers: [{port: {number: 8080, name: http, protocol: HTTP}, hosts: ["*"]}]
`,
	);
	const listeners = (proxy: string) => ask({ filename: [mesh, gateway], proxy })["lds"];
	assert.deepEqual(listeners("edge.shop"), ["0.0.0.0_8080"], "selected by a Gateway");
	assert.equal(listeners("entry.shop"), undefined, "Istio's own label; no Gateway is for it");
	assert.ok(listeners("client.shop")?.includes("virtualOutbound"));
});

test("a file a type, sorted by name, none for what is empty", () => {
	const found = ask({ proxy: "client.shop" });
	assert.deepEqual(Object.keys(found).sort(), ["cds", "eds", "lds", "rds"]);
	for (const list of Object.values(found)) assert.deepEqual(list, list.toSorted());
	assert.deepEqual(Object.keys(ask({ proxy: "client.shop", type: "rds, LDS" })).sort(), ["lds", "rds"]);
});

test("what cannot be answered says why", () => {
	const node = (name: string, text: string) => ({ node: file(name, text) });
	const cases: readonly (readonly [options: Partial<XdsOptions>, status: number, message: RegExp])[] = [
		[{ proxy: "nobody.shop" }, 1, /no pod nobody in namespace shop; pods: .*shop\/client/],
		[{}, 2, /--proxy POD\.NAMESPACE, or by --node FILE/],
		[{ proxy: "client.shop", type: "xyz" }, 2, /"xyz" is not one of cds/],
		[{ filename: [path.join(folder, "none.yaml")], proxy: "client.shop" }, 1, /none\.yaml: no such file/],
		[{ node: path.join(folder, "none.json") }, 1, /none\.json: ENOENT/],
		[node("broken.json", "{"), 1, /broken\.json: .*JSON/],
		[node("null.json", "null"), 1, /null\.json: /],
		[node("odd.json", `{"node": {"id": "odd"}}`), 1, /odd\.json: node id "odd" is not of the form/],
		[node("field.json", `{"node": {"idd": "odd"}}`), 1, /field\.json: .*idd/],
		[{ proxy: "client.shop", meshConfig: file("bad-mesh.yaml", "trustDomain: {a: 1}\n") }, 1, /bad-mesh\.yaml: not a usable MeshConfig/],
	];
	for (const [options, status, message] of cases) {
		assert.throws(
			() => ask(options),
			(error) => {
				assert.ok(error instanceof CommandError, String(error));
				assert.match(error.message, message);
				assert.equal(error.status, status);
				return true;
			},
		);
	}
});
