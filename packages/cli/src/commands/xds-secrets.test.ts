import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { xdsCommand } from "./xds.ts";

const folder = mkdtempSync(join(tmpdir(), "weft-xds-secrets-"));
after(() => rmSync(folder, { recursive: true }));

const [key, certificate] = [join(folder, "shop.key"), join(folder, "shop.crt")];
const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
execFileSync("openssl", ["req", "-x509", ...newKey, "-days", "2", "-subj", "/CN=shop", "-keyout", key, "-out", certificate], { stdio: "ignore" });
const base64 = (file: string) => readFileSync(file).toString("base64");

const gateway = `
apiVersion: v1
kind: Pod
metadata: {name: gw, namespace: shop, labels: {istio: ingressgateway}}
spec: {containers: [{name: c, image: i}]}
status: {phase: Running, podIP: 10.0.0.9, podIPs: [{ip: 10.0.0.9}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 443, name: https, protocol: HTTPS}, hosts: [shop.example.com], tls: {mode: SIMPLE, credentialName: shop-tls}}]
`;
const secret = `
---
apiVersion: v1
kind: Secret
metadata: {name: shop-tls, namespace: shop}
data: {tls.crt: ${base64(certificate)}, tls.key: ${base64(key)}}
`;

/** What is sent, and what is said. */
function ask(yaml: string): { readonly sds: unknown; readonly said: string } {
	const out = mkdtempSync(join(folder, "out-"));
	writeFileSync(join(out, "mesh.yaml"), yaml);
	const { write } = process.stderr;
	let said = "";
	process.stderr.write = (text: unknown) => {
		said += String(text);
		return true;
	};
	try {
		xdsCommand({ filename: [join(out, "mesh.yaml")], proxy: "gw.shop", type: "sds", output: "json", out });
	} finally {
		process.stderr.write = write;
	}
	const file = join(out, "sds.json");
	return { sds: existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : undefined, said };
}

test("a gateway's certificate is among what it would get, from the Secret in the files", () => {
	const { sds, said } = ask(gateway + secret);
	const pair = { certificateChain: { inlineBytes: base64(certificate) }, privateKey: { inlineBytes: base64(key) } };
	assert.deepEqual(sds, [{ name: "kubernetes://shop-tls", tlsCertificate: pair }]);
	assert.doesNotMatch(said, /wait for it/);
});

test("a Secret that is not there is told of", () => {
	const { sds, said } = ask(gateway);
	assert.equal(sds, undefined);
	assert.match(said, /Secret shop\/shop-tls not found; the proxy would wait for it/);
});
