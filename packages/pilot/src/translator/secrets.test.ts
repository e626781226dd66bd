import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { Secret } from "@weft/xds/generated/envoy/extensions/transport_sockets/tls/v3/secret.ts";
import { decodeNode } from "../model/node.ts";
import type { PushSnapshot } from "../model/push.ts";
import { createTestMesh } from "./routes/test-mesh.ts";
import { resourceView } from "./resource-view.ts";

const folder = mkdtempSync(join(tmpdir(), "weft-secrets-"));
after(() => rmSync(folder, { recursive: true }));

function pair(name: string): { readonly certificate: string; readonly key: string } {
	const [key, certificate] = [join(folder, `${name}.key`), join(folder, `${name}.crt`)];
	const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
	execFileSync("openssl", ["req", "-x509", ...newKey, "-days", "2", "-subj", `/CN=${name}`, "-keyout", key, "-out", certificate], { stdio: "ignore" });
	return { certificate: readFileSync(certificate, "utf8"), key: readFileSync(key, "utf8") };
}

const [a, b] = [pair("a"), pair("b")];

function object(kind: "ConfigMap" | "Secret", name: string, values: Readonly<Record<string, string>>, namespace = "default"): string {
	const text = (value: string) => JSON.stringify(kind === "Secret" ? Buffer.from(value).toString("base64") : value);
	const data = Object.entries(values).map(([key, value]) => `${JSON.stringify(key)}: ${text(value)}`);
	return `\napiVersion: v1\nkind: ${kind}\nmetadata: {name: ${name}, namespace: ${namespace}}\ndata: {${data.join()}}\n---`;
}

const routerNode = {
	id: "router~10.0.0.9~gw.default~default.svc.cluster.local",
	metadata: { NAMESPACE: "default", SERVICE_ACCOUNT: "gw", LABELS: { istio: "ingressgateway" } },
};

interface Asked {
	readonly isAuthenticated?: boolean;
	readonly mayRead?: boolean;
}

/** The content, or the reason why there is none. */
function ask(
	push: PushSnapshot,
	name: string,
	{ isAuthenticated = true, mayRead = true }: Asked = {},
): Partial<Record<"chain" | "key" | "trust" | "crl", string>> | string {
	let problem = "nothing was said";
	const rights = { isAuthenticated, mayReadSecrets: () => mayRead };
	const view = resourceView(push, decodeNode(routerNode, push), { rights, onMissingSecret: (_, why) => (problem = why) });
	const resource = view.get("sds", name);
	if (resource === undefined) return problem;
	assert.equal(resource.name, name);
	const { tlsCertificate, validationContext } = Secret.decode(resource.bytes);
	const text = (source: { readonly inlineBytes?: Uint8Array | undefined } | undefined) =>
		source?.inlineBytes ? Buffer.from(source.inlineBytes).toString() : undefined;
	const all = {
		chain: text(tlsCertificate?.certificateChain),
		key: text(tlsCertificate?.privateKey),
		trust: text(validationContext?.trustedCa),
		crl: text(validationContext?.crl),
	};
	return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
}

const tls = { "tls.crt": a.certificate, "tls.key": a.key };
const push = createTestMesh().apply(
	object("Secret", "tls", tls) +
		object("Secret", "generic", { cert: a.certificate, key: a.key, cacert: b.certificate, crl: "revoked" }) +
		object("Secret", "both", { ...tls, "ca.crt": b.certificate, "ca.crl": "revoked" }) +
		object("Secret", "apart", tls) +
		object("Secret", "apart-cacert", { "ca.crt": b.certificate }) +
		object("Secret", "mixed", { "tls.crt": a.certificate, "tls.key": b.key }) +
		object("Secret", "half", { "tls.crt": a.certificate }) +
		object("Secret", "garbage", { "tls.crt": "no", "tls.key": "no" }) +
		object("Secret", "elsewhere", tls, "other") +
		object("ConfigMap", "roots", { "ca.crt": b.certificate }, "other"),
);
const certificate = { chain: a.certificate, key: a.key };

describe("sec/f55: secrets over ADS", () => {
	const cases: readonly (readonly [name: string, expected: ReturnType<typeof ask> | RegExp, asked?: Asked])[] = [
		["kubernetes://tls", certificate],
		["kubernetes://default/tls", certificate],
		["kubernetes://generic", certificate],
		["kubernetes://generic-cacert", { trust: b.certificate, crl: "revoked" }],
		["kubernetes://both-cacert", { trust: b.certificate, crl: "revoked" }],
		["kubernetes://apart-cacert", { trust: b.certificate }],
		["configmap://other/roots", { trust: b.certificate }],
		["kubernetes://tls-cacert", /Secret default\/tls has neither ca\.crt nor cacert/],
		["kubernetes://absent", /Secret default\/absent not found/],
		["kubernetes://mixed", /Secret default\/mixed: the private key does not belong to the certificate/],
		["kubernetes://half", /Secret default\/half has neither tls\.crt and tls\.key nor cert and key/],
		["kubernetes://garbage", /Secret default\/garbage: the certificate is not valid PEM/],
		["kubernetes://other/elsewhere", /not in the proxy's namespace default/],
		["kubernetes-gateway://other/elsewhere", /no Gateway of this proxy may use Secret other\/elsewhere/],
		["kubernetes-gateway://default/tls", /no Gateway of this proxy/],
		["invalid://", /names no Secret/],
		["kubernetes://../../x", /names no Secret/],
		["kubernetes://tls", /service account default\/gw may not list Secrets/, { mayRead: false }],
		["kubernetes://tls", /with a certificate only/, { isAuthenticated: false }],
		["configmap://other/roots", /with a certificate only/, { isAuthenticated: false }],
	];
	for (const [name, expected, asked] of cases) {
		it(`${name} ${JSON.stringify(asked ?? {})}`, () => {
			const found = ask(push, name, asked);
			if (expected instanceof RegExp) assert.match(String(found), expected);
			else assert.deepEqual(found, expected);
		});
	}

	it("sec/f55: who may not read hears the same of a Secret that is there and of one that is not", () => {
		const words = (name: string, asked: Asked) => String(ask(push, `kubernetes://${name}`, asked)).replaceAll(name, "NAME");
		for (const asked of [{ mayRead: false }, { isAuthenticated: false }, { mayRead: false, isAuthenticated: false }]) {
			assert.equal(words("tls", asked), words("absent", asked));
			assert.equal(words("other/elsewhere", asked), words("other/absent", asked));
		}
		assert.equal(words("other/elsewhere", {}), words("other/absent", {}));
	});

	it("a Secret of a file may say its values as they are", () => {
		const values = JSON.stringify({ "tls.crt": a.certificate, "tls.key": a.key });
		const text = `\napiVersion: v1\nkind: Secret\nmetadata: {name: plain, namespace: default}\nstringData: ${values}\n---`;
		assert.deepEqual(ask(createTestMesh().apply(text), "kubernetes://plain"), certificate);
	});

	it("a Gateway that a user wrote in Istio's API grants no Secret of another namespace; a ListenerSet those of its own", () => {
		const api = "apiVersion: gateway.networking.k8s.io/v1";
		const labels =
			"\napiVersion: v1\nkind: Pod\nmetadata: {name: gw, namespace: default, labels: {istio: ingressgateway}}\nspec: {containers: []}\nstatus: {podIP: 10.0.0.9}\n---";
		const service =
			"\napiVersion: v1\nkind: Service\nmetadata: {name: g-istio, namespace: default}\nspec: {selector: {istio: ingressgateway}, ports: [{name: https, port: 443}]}\n---";
		const server =
			"{port: {number: 443, name: https, protocol: HTTPS}, hosts: ['*'], tls: {mode: SIMPLE, credentialName: 'kubernetes-gateway://other/elsewhere'}}";
		const istio = `\napiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: sly, namespace: default}\nspec: {selector: {istio: ingressgateway}, servers: [${server}]}\n---`;
		const gateway = `\n${api}\nkind: Gateway\nmetadata: {name: g, namespace: default}\nspec: {gatewayClassName: istio, allowedListeners: {namespaces: {from: All}}, listeners: [{name: http, port: 80, protocol: HTTP}]}\n---`;
		const listener = "{name: tls, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: elsewhere}]}}";
		const set = `\n${api}\nkind: ListenerSet\nmetadata: {name: s, namespace: other}\nspec: {parentRef: {name: g, namespace: default}, listeners: [${listener}]}\n---`;
		const common = object("Secret", "elsewhere", tls, "other") + labels + service + gateway;
		assert.match(String(ask(createTestMesh().apply(common + istio), "kubernetes-gateway://other/elsewhere")), /no Gateway of this proxy may use/);
		assert.deepEqual(ask(createTestMesh().apply(common + set), "kubernetes-gateway://other/elsewhere"), certificate);
	});

	it("a changed Secret is another version, and nothing else makes the view's revision another", () => {
		const mesh = createTestMesh();
		const at = (current: PushSnapshot, mayRead = true) =>
			resourceView(current, decodeNode(routerNode, current), { rights: { isAuthenticated: true, mayReadSecrets: () => mayRead } });
		const first = at(mesh.apply(object("Secret", "tls", tls)));
		const second = at(mesh.apply(object("Secret", "tls", { "tls.crt": b.certificate, "tls.key": b.key })));
		assert.notEqual(first.get("sds", "kubernetes://tls")?.version, second.get("sds", "kubernetes://tls")?.version);
		assert.notEqual(first.revision("sds"), second.revision("sds"));
		const third = mesh.apply("\napiVersion: v1\nkind: Service\nmetadata: {name: s, namespace: default}\nspec: {ports: [{port: 80}]}\n---");
		assert.equal(at(third).revision("sds"), second.revision("sds"));
		assert.notEqual(at(third, false).revision("sds"), second.revision("sds"));
	});
});
