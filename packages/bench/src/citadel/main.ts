import { mkdirSync, writeFileSync } from "node:fs";
import { cpus, loadavg, release } from "node:os";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { ChannelCredentials, Client, Metadata, Server } from "@grpc/grpc-js";
import {
	addCertificateService,
	type Authenticator,
	certificateServiceDefinition,
	createCertificateAuthority,
	createMemoryKeyStore,
	createServerIdentity,
	createSigningPool,
	inlineLeafSigner,
	type LeafSigner,
} from "@weft/citadel";
import { buildCsr, generateKeys, type KeyAlgorithm } from "@weft/pki";
import { createLogger, systemClock } from "@weft/runtime";
import { IstioCertificateRequest, IstioCertificateResponse } from "@weft/xds/generated/istio/v1/auth/ca.ts";
import { Registry } from "prom-client";

const herd = 500;
const direct = 1_000;
const logger = createLogger({ level: "none" });
const identity = { trustDomain: "cluster.local", namespace: "default", serviceAccount: "web" };

interface Row {
	readonly root: KeyAlgorithm;
	readonly csr: KeyAlgorithm;
	/** On one thread, nothing else running. */
	readonly msEach: number;
	readonly pooledPerSecond: number;
	/** 99th percentile of the main thread's delay while the pool signs. */
	readonly loopP99Ms: number;
	/** 500 requests over gRPC and TLS at once, until the last one has its certificate. */
	readonly herdMs: number;
}

/** What it costs to issue certificates, and what that does to the thread that pushes configuration. */
export async function citadelBench(log: (line: string) => void): Promise<void> {
	const rows: Row[] = [];
	for (const root of ["rsa-2048", "ecdsa-p256", "ecdsa-p384"] as const) {
		for (const csr of ["rsa-2048", "ecdsa-p256"] as const) {
			const row = await measure(root, csr);
			rows.push(row);
			log(JSON.stringify(row));
		}
	}
	write(rows);
}

async function measure(root: KeyAlgorithm, csr: KeyAlgorithm): Promise<Row> {
	const csrPem = buildCsr({ keys: await generateKeys(csr), uris: [] });
	const pool = createSigningPool({ threads: 2, queueMax: 2_000, logger });
	try {
		const msEach = (await issueMany(inlineLeafSigner, root, csrPem, 1)) / direct;
		await issueMany(pool, root, csrPem, direct);
		const delay = monitorEventLoopDelay({ resolution: 1 });
		delay.enable();
		const pooledMs = await issueMany(pool, root, csrPem, direct);
		delay.disable();
		const herdMs = await startTogether(pool, root, csrPem);
		return { root, csr, msEach, pooledPerSecond: (direct * 1000) / pooledMs, loopP99Ms: delay.percentile(99) / 1e6, herdMs };
	} finally {
		await pool.close();
	}
}

const createAuthority = (leafSigner: LeafSigner, rootKeyAlgorithm: KeyAlgorithm) =>
	createCertificateAuthority({ store: createMemoryKeyStore(), clock: systemClock, logger, rootKeyAlgorithm, leafSigner });

/** Milliseconds for `direct` certificates, `concurrency` at a time. */
async function issueMany(signer: LeafSigner, root: KeyAlgorithm, csrPem: string, concurrency: number): Promise<number> {
	const authority = await createAuthority(signer, root);
	const issue = async () => {
		const leaf = await authority.issueLeaf({ identity, csrPem, ttlMs: 0 });
		if (!leaf.ok) throw new Error(leaf.reason);
	};
	for (let i = 0; i < 50; i++) await issue();
	const started = performance.now();
	for (let i = 0; i < direct; i += concurrency) await Promise.all(Array.from({ length: concurrency }, issue));
	return performance.now() - started;
}

async function startTogether(leafSigner: LeafSigner, root: KeyAlgorithm, csr: string): Promise<number> {
	const authority = await createAuthority(leafSigner, root);
	const server = new Server();
	const anybody: Authenticator = { name: "bench", authenticate: async () => ({ ok: true, value: { identity } }) };
	addCertificateService(server, { authority, authenticators: [anybody], clock: systemClock, logger, registry: new Registry() });
	const { credentials } = await createServerIdentity({ authority, clock: systemClock, random: Math.random, logger });
	const port = await new Promise<number>((resolve, reject) =>
		server.bindAsync("127.0.0.1:0", credentials, (error, bound) => (error ? reject(error) : resolve(bound))),
	);
	const roots = Buffer.from(authority.trustBundlePem);
	const path = certificateServiceDefinition["createCertificate"]?.path ?? "";
	// Each proxy has a connection and a TLS handshake of its own.
	const ask = async () => {
		const options = { "grpc.ssl_target_name_override": "istiod.istio-system.svc", "grpc.use_local_subchannel_pool": 1 };
		const client = new Client(`127.0.0.1:${port}`, ChannelCredentials.createSsl(roots), options);
		const encode = (value: IstioCertificateRequest) => Buffer.from(IstioCertificateRequest.encode(value).finish());
		const decode = (bytes: Buffer) => IstioCertificateResponse.decode(bytes);
		try {
			await new Promise<void>((resolve, reject) => {
				client.makeUnaryRequest(path, encode, decode, { csr, validityDuration: 0n, metadata: undefined }, new Metadata(), (error) =>
					error ? reject(error) : resolve(),
				);
			});
		} finally {
			client.close();
		}
	};
	const started = performance.now();
	await Promise.all(Array.from({ length: herd }, ask));
	const ms = performance.now() - started;
	server.forceShutdown();
	return ms;
}

function write(rows: readonly Row[]): void {
	const date = new Date().toISOString().slice(0, 10);
	const directory = new URL("../../results/", import.meta.url);
	mkdirSync(directory, { recursive: true });
	const table = rows.map((row) =>
		[row.root, row.csr, row.msEach.toFixed(2), Math.round(row.pooledPerSecond), row.loopP99Ms.toFixed(1), Math.round(row.herdMs)].join(" | "),
	);
	const text = `# Citadel

Recorded ${date} on ${cpus().length} cores, ${cpus()[0]?.model ?? "?"}, Linux ${release()}, Node ${process.versions.node}, load average ${(loadavg()[0] ?? 0).toFixed(1)}. \`npm run bench -- citadel\`.
An issue is: read the CSR and check its signature, build, sign, and verify the own output. The pool has two threads; the loop's delay is that of the thread that pushes configuration, while the pool signs ${direct} certificates handed over at once.
The herd is ${herd} requests at once over gRPC, each on a connection and a TLS handshake of its own, clients and server in one process on the same cores.

| root | CSR | ms each, one thread | issues/s, pool | loop delay p99 ms | herd of ${herd}: last ms |
|---|---|---|---|---|---|
${table.map((line) => `| ${line} |`).join("\n")}
`;
	writeFileSync(new URL("citadel.md", directory), text);
	writeFileSync(new URL("citadel.json", directory), `${JSON.stringify({ date, rows }, null, "\t")}\n`);
}
