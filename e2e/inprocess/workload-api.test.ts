import assert from "node:assert/strict";
import { statSync } from "node:fs";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { connect, createSecureContext } from "node:tls";
import { ChannelCredentials, Client, Metadata } from "@grpc/grpc-js";
import { encodePem, splitPem } from "@weft/pki";
import { closeConnections, startTestMesh, type TestMesh } from "@weft/testkit";
import { Secret } from "@weft/xds/generated/envoy/extensions/transport_sockets/tls/v3/secret.ts";
import { DiscoveryRequest, DiscoveryResponse } from "@weft/xds/generated/envoy/service/discovery/v3/discovery.ts";
import { X509SVIDResponse } from "@weft/xds/generated/spiffe/workload/workload.ts";
import { peerAuthentication, service, workload } from "./mesh-yaml.ts";
import { boundAddress, podOf } from "./pods.ts";

// An application that brings its own TLS: the certificate is its sidecar's, from the socket in SPIFFE_ENDPOINT_SOCKET.

let mesh: TestMesh;

before(async () => {
	mesh = await startTestMesh({
		certificateTtl: "20s",
		yaml:
			workload({ name: "server", app: "http-app.ts", ports: [8000] }) +
			service("server", [{ name: "http", port: 8000 }]) +
			workload({ name: "client", app: "http-app.ts", ports: [8000] }) +
			peerAuthentication("STRICT"),
	});
});

after(async () => {
	await mesh?.stop();
	closeConnections();
});

interface Credentials {
	readonly key: string;
	readonly cert: string;
	readonly ca: string;
}

const raw = (bytes: Buffer) => bytes;
const socketOf = (name: string) => join(mesh.paths.sockets, `default.${podOf(mesh, name).name}`);

/** Concatenated DER certificates, one PEM text. */
function pemOf(bytes: Uint8Array): string {
	let out = "";
	for (let at = 0; at < bytes.length; ) {
		// A certificate is longer than 255 bytes and shorter than 64 KiB: SEQUENCE with two bytes of length.
		const length = 4 + ((bytes[at + 2] ?? 0) << 8) + (bytes[at + 3] ?? 0);
		out += encodePem("CERTIFICATE", bytes.subarray(at, at + length));
		at += length;
	}
	return out;
}

/** What the mesh's server says to a TLS client of its own making; "" : it was refused. Whom the client talks to is checked, too. */
async function ask(credentials: Credentials): Promise<string> {
	const [host = "", port = ""] = (await boundAddress(podOf(mesh, "server-v1"))).split(":");
	return new Promise((resolve) => {
		let text = "";
		const socket = connect({
			host,
			port: Number(port),
			ALPNProtocols: ["http/1.1"],
			secureContext: createSecureContext(credentials),
			checkServerIdentity: (_, { subjectaltname }) =>
				subjectaltname === "URI:spiffe://cluster.local/ns/default/sa/server" ? undefined : new Error(`this is ${subjectaltname}`),
		});
		socket.on("secureConnect", () => socket.write("GET / HTTP/1.1\r\nhost: server\r\nconnection: close\r\n\r\n"));
		socket.on("data", (bytes: Buffer) => (text += bytes.toString()));
		socket.on("error", (error) => (text += error.message));
		socket.on("close", () => resolve(text));
	});
}

test("the SVID of the Workload API opens connections that STRICT asks for, and is renewed on the same stream", async () => {
	const client = new Client(`unix:${socketOf("client-v1")}`, ChannelCredentials.createInsecure());
	const metadata = new Metadata();
	metadata.set("workload.spiffe.io", "true");
	const stream = client.makeServerStreamRequest("/SpiffeWorkloadAPI/FetchX509SVID", raw, raw, Buffer.alloc(0), metadata);
	const next = () => new Promise<Buffer>((resolve, reject) => stream.once("data", resolve).once("error", reject));
	const keys = new Set<string>();
	for (let i = 0; i < 2; i++) {
		const [svid] = X509SVIDResponse.decode(await next()).svids;
		assert.equal(svid?.spiffeId, "spiffe://cluster.local/ns/default/sa/client");
		const key = encodePem("PRIVATE KEY", svid.x509SvidKey);
		keys.add(key);
		const answer = await ask({ key, cert: pemOf(svid.x509Svid), ca: pemOf(svid.bundle) });
		assert.match(answer, /^HTTP\/1\.1 200 /);
		assert.match(answer, /URI=spiffe:\/\/cluster\.local\/ns\/default\/sa\/client/);
	}
	assert.equal(keys.size, 2);
	stream.on("error", () => undefined);
	stream.cancel();
	client.close();
});

test("SDS on the same socket gives gRPC without a proxy the same: default and ROOTCA", async () => {
	const client = new Client(`unix:${socketOf("client-v1")}`, ChannelCredentials.createInsecure());
	const stream = client.makeBidiStreamRequest("/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets", raw, raw, new Metadata());
	stream.write(Buffer.from(DiscoveryRequest.encode(DiscoveryRequest.fromPartial({ resourceNames: ["default", "ROOTCA"] })).finish()));
	const bytes = await new Promise<Buffer>((resolve, reject) => stream.once("data", resolve).once("error", reject));
	const secrets = DiscoveryResponse.decode(bytes).resources.map(({ value }) => Secret.decode(value));
	const text = (data: Uint8Array | undefined) => Buffer.from(data ?? []).toString();
	const [own, roots] = ["default", "ROOTCA"].map((name) => secrets.find((secret) => secret.name === name));
	const answer = await ask({
		key: text(own?.tlsCertificate?.privateKey?.inlineBytes),
		cert: text(own?.tlsCertificate?.certificateChain?.inlineBytes),
		ca: text(roots?.validationContext?.trustedCa?.inlineBytes),
	});
	assert.match(answer, /^HTTP\/1\.1 200 /);
	assert.equal(splitPem(text(roots?.validationContext?.trustedCa?.inlineBytes)).length, 1);
	stream.on("error", () => undefined);
	stream.cancel();
	client.close();
});

test("the folder of the sockets is for the own user alone", () => {
	assert.equal(statSync(dirname(socketOf("client-v1"))).mode & 0o777, 0o700);
});
