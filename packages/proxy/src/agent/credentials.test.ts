import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import { buildCsr, generateKeys } from "@weft/pki";
import { createLogger, systemClock } from "@weft/runtime";
import { createGrpcEnvironment, type GrpcEnvironment } from "../grpc/environment.ts";
import { type AgentFixture, createAgentFixture } from "./agent-fixture.ts";
import { controlPlaneServerName, createCertificateOverGrpc } from "./certificate-client.ts";
import { type CredentialOptions, type Credentials, openCredentials } from "./credentials.ts";
import { certificateFileNames } from "./output-certificates.ts";
import { isAnswered } from "./workload-socket.ts";

let fixture: AgentFixture;
let environment: GrpcEnvironment;
let directory: string;
let lines: string[];
let opened: { readonly credentials: Credentials; readonly stop: AbortController }[];
/** How often the certificate authority was asked. */
let asked: number;
let shown: (string | undefined)[];

before(async () => {
	fixture = await createAgentFixture(() => undefined);
	environment = await createGrpcEnvironment({ transport: "auto", clock: systemClock, random: Math.random, logger: createLogger({ level: "none" }) });
});
after(() => fixture.close());
beforeEach(() => {
	directory = mkdtempSync(join(tmpdir(), "weft-cred-"));
	opened = [];
	lines = [];
	asked = 0;
	shown = [];
});
afterEach(async () => {
	for (const one of opened) await close(one);
	rmSync(directory, { recursive: true });
});

interface Open {
	readonly credentials: Credentials;
	readonly stop: AbortController;
}

async function open(options: CredentialOptions, tokenFile = fixture.tokenFile): Promise<Open> {
	const ask = createCertificateOverGrpc(environment);
	const credentials = await openCredentials(options, {
		authority: {
			createCertificate(call) {
				asked++;
				shown.push(call.bearerToken === undefined ? undefined : "token", call.client === undefined ? undefined : "certificate");
				return ask(call);
			},
			caAddress: fixture.address,
			rootCert: { file: fixture.rootCertFile },
			token: { file: tokenFile },
		},
		crlPem: () => "",
		nodeId: "sidecar~10.0.0.1~web-1.default~default.svc.cluster.local",
		environment,
		// Ten seconds between looks at a file pass in a tenth.
		clock: { ...systemClock, sleep: (ms, signal) => systemClock.sleep(ms / 100, signal) },
		random: Math.random,
		logger: createLogger({ write: (line) => lines.push(line) }),
	});
	const stop = new AbortController();
	void credentials.identity.run(stop.signal);
	const one = { credentials, stop };
	opened.push(one);
	return one;
}

async function close(one: Open): Promise<void> {
	one.stop.abort();
	await one.credentials.close();
}

/** `ready` resolves while the request is still being put away, and a renewal would join it. */
async function renew({ identity }: Credentials): Promise<string> {
	await new Promise((resolve) => setImmediate(resolve));
	return (await identity.renewNow()).certChainPem;
}

async function until(holds: () => boolean): Promise<void> {
	while (!holds()) await new Promise((resolve) => setTimeout(resolve, 10));
}

const serialOf = (pem: string) => new X509Certificate(pem).serialNumber;
const directoryOf = (name: string) => {
	const path = join(directory, name);
	mkdirSync(path);
	return path;
};

async function mount(into: string, serviceAccount = "web"): Promise<string> {
	const { chainPem, privateKeyPem, serialNumber } = await fixture.issue(serviceAccount);
	writeFileSync(join(into, certificateFileNames.privateKey), privateKeyPem);
	writeFileSync(join(into, certificateFileNames.rootCert), fixture.authority.trustBundlePem);
	writeFileSync(join(into, certificateFileNames.certChain), chainPem.join(""));
	return serialNumber.toUpperCase();
}

const filesIn = (path: string) => ({
	certChain: join(path, certificateFileNames.certChain),
	privateKey: join(path, certificateFileNames.privateKey),
	rootCert: join(path, certificateFileNames.rootCert),
});

describe("a workload's credentials", () => {
	test("headers go with every request to the authority: here they alone say who asks", async () => {
		const csrPem = buildCsr({ keys: await generateKeys("ecdsa-p256"), uris: [] });
		const call = {
			address: fixture.address,
			serverName: controlPlaneServerName,
			rootsPem: fixture.authority.trustBundlePem,
			bearerToken: undefined,
			client: undefined,
			clusterId: "Kubernetes",
			csrPem,
			certSigner: undefined,
			ttlMs: 0,
			timeoutMs: 10_000,
			signal: undefined,
		};
		const authorization = `Bearer ${readFileSync(fixture.tokenFile, "utf8")}`;
		const [leaf = ""] = await createCertificateOverGrpc(environment, { authorization })(call);
		assert.equal(new X509Certificate(leaf).subjectAltName, "URI:spiffe://cluster.local/ns/default/sa/web");
		await assert.rejects(createCertificateOverGrpc(environment)(call), /UNAUTHENTICATED/);
	});

	test("an SDS socket that is served already gives the certificate and its renewals; the authority is not asked", async () => {
		const workloadSocket = join(directory, "socket");
		const first = await open({ workloadSocket });
		const given = await first.credentials.identity.ready();
		assert.equal(asked, 1);
		const second = await open({ workloadSocket });
		const taken = await second.credentials.identity.ready();
		assert.deepEqual([taken.certChainPem, taken.privateKeyPem, taken.rootsPem], [given.certChainPem, given.privateKeyPem, given.rootsPem]);
		assert.equal(asked, 1);
		const renewed = await renew(first.credentials);
		assert.notEqual(renewed, given.certChainPem);
		await until(() => second.credentials.identity.current?.certChainPem === renewed);
		// Whoever serves there goes away: what was given stays, and the next one there is heard.
		await close(first);
		const third = await open({ workloadSocket });
		const fresh = await third.credentials.identity.ready();
		await until(() => second.credentials.identity.current?.certChainPem === fresh.certChainPem);
		await assert.rejects(second.credentials.identity.renewNow(), /renews the certificate, it cannot be asked to/);
	});

	test("a socket that nobody answers is taken over, unless somebody has to be there", async () => {
		const workloadSocket = join(directory, "socket");
		await assert.rejects(open({ workloadSocket, needsForeignSocket: true }), /nobody serves SDS at .*socket, which WORKLOAD_IDENTITY_SOCKET_FILE asks for/);
		writeFileSync(workloadSocket, "");
		await open({ workloadSocket });
		assert.equal(await isAnswered(workloadSocket), true);
	});

	test("a socket that cannot be made keeps nothing else from working", async () => {
		const { credentials } = await open({ workloadSocket: join(directory, "missing", "socket") });
		await credentials.identity.ready();
		assert.match(lines.join(""), /Workload API and SDS are not served/);
	});

	test("mounted certificates are served without an authority, and replaced when the files are", async () => {
		const path = directoryOf("certs");
		const { credentials } = await open({ mounted: filesIn(path) });
		await until(() => lines.some((line) => line.includes("mounted certificate is not taken")));
		const serial = await mount(path);
		const taken = await credentials.identity.ready();
		assert.deepEqual([serialOf(taken.certChainPem), taken.spiffeId, asked], [serial, "spiffe://cluster.local/ns/default/sa/web", 0]);
		const next = await mount(path);
		await until(() => serialOf(credentials.identity.current?.certChainPem ?? "") === next);
	});

	test("a key of another certificate is not served", async () => {
		const path = directoryOf("certs");
		await mount(path);
		const { privateKeyPem } = await fixture.issue("web");
		writeFileSync(join(path, certificateFileNames.privateKey), privateKeyPem);
		const { credentials } = await open({ mounted: filesIn(path) });
		await until(() => lines.some((line) => line.includes("the certificate is not for our key")));
		assert.equal(credentials.identity.current, undefined);
	});

	test("roots that the control plane tells of are trusted beside the mounted ones", async () => {
		const path = directoryOf("certs");
		await mount(path);
		const { credentials } = await open({ mounted: filesIn(path) });
		const { identity } = credentials;
		const before = (await identity.ready()).rootsPem;
		const other = await createAgentFixture(() => undefined);
		assert.ok(identity.trust(other.authority.trustBundlePem).ok);
		assert.equal(identity.current?.rootsPem, before + other.authority.trustBundlePem);
		assert.equal(identity.trust("nonsense").ok, false);
		await other.close();
	});

	test("OUTPUT_CERTS has each certificate as files, the key for the own user alone", async () => {
		const outputDirectory = join(directory, "deep", "out");
		const { credentials } = await open({ outputDirectory });
		const first = await credentials.identity.ready();
		const read = (name: keyof typeof certificateFileNames) => readFileSync(join(outputDirectory, certificateFileNames[name]), "utf8");
		assert.deepEqual([read("certChain"), read("privateKey"), read("rootCert")], [first.certChainPem, first.privateKeyPem, first.rootsPem]);
		assert.equal(statSync(join(outputDirectory, certificateFileNames.privateKey)).mode & 0o777, 0o600);
		const renewed = await renew(credentials);
		assert.equal(read("certChain"), renewed);
		assert.notEqual(renewed, first.certChainPem);
	});

	test("PROV_CERT is shown for the first certificate, and no token is needed then", async () => {
		const path = directoryOf("prov");
		await mount(path);
		const { credentials } = await open({ provisionedDirectory: path }, join(directory, "no-token"));
		const got = await credentials.identity.ready();
		assert.deepEqual([got.spiffeId, shown], ["spiffe://cluster.local/ns/default/sa/web", [undefined, "certificate"]]);
		assert.ok(!existsSync(join(directory, "no-token")));
	});

	test("without a provisioned certificate the token counts, as ever", async () => {
		const { credentials } = await open({ provisionedDirectory: directoryOf("empty") });
		await credentials.identity.ready();
		assert.deepEqual(shown, ["token", undefined]);
		assert.match(lines.join(""), /provisioned certificate is not shown/);
	});
});
