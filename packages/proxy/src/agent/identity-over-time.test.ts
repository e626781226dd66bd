import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { test } from "node:test";
import { buildLeafTemplate, buildRootTemplate, decodeCsr, encodePublicKey, generateKeys, type Signer, signCertificate, signSelf } from "@weft/pki";
import { type Clock, createLogger } from "@weft/runtime";
import type { CreateCertificate } from "./certificate-client.ts";
import { createWorkloadIdentity } from "./workload-identity.ts";

const startMs = Date.UTC(2027, 0, 1);
const secondMs = 1_000;
const minuteMs = 60_000;
const dayMs = 86_400_000;
const uri = "spiffe://cluster.local/ns/default/sa/web";

/** Elapsed time moves when somebody sleeps; the wall clocks of the workload and of the authority may be set apart from it. */
function createTime(untilMs: number) {
	const stop = new AbortController();
	const events: { atMs: number; run: () => void }[] = [];
	const state = { elapsedMs: 0, wallMs: 0, authorityMs: 0, sleeps: 0 };
	const clock: Clock = {
		nowMs: () => startMs + state.elapsedMs + state.wallMs,
		monotonicMs: () => state.elapsedMs,
		async sleep(ms) {
			state.sleeps++;
			const endMs = state.elapsedMs + ms;
			// What is to happen meanwhile happens at its moment.
			for (const event of events.filter(({ atMs }) => atMs > state.elapsedMs && atMs <= endMs).sort((a, b) => a.atMs - b.atMs)) {
				state.elapsedMs = event.atMs;
				event.run();
			}
			state.elapsedMs = endMs;
			if (endMs >= untilMs) stop.abort();
		},
	};
	return {
		stop,
		clock,
		state,
		at: (atMs: number, run: () => void) => void events.push({ atMs, run }),
		authorityNowMs: () => startMs + state.elapsedMs + state.authorityMs,
	};
}

async function createRoot(): Promise<Signer & { readonly pem: string }> {
	const keys = await generateKeys();
	const template = buildRootTemplate({
		trustDomain: "cluster.local",
		publicKeyDer: encodePublicKey(keys.publicKey),
		serialNumber: Uint8Array.of(1, 1),
		nowMs: startMs - 10 * dayMs,
	});
	const pem = signSelf(template, keys.privateKey);
	return { pem, certificate: new X509Certificate(pem), privateKey: keys.privateKey };
}

async function createCase(untilMs: number, ttlMs = minuteMs, seed = 0.5) {
	const time = createTime(untilMs);
	const authority = { isAway: false, signer: await createRoot(), roots: "", requests: 0 };
	authority.roots = authority.signer.pem;
	const createCertificate: CreateCertificate = async (call) => {
		authority.requests++;
		if (authority.isAway) throw new Error("unavailable");
		const csr = decodeCsr(call.csrPem);
		assert.ok(csr.ok);
		const template = buildLeafTemplate({
			subjectAltNames: { uris: [uri], dnsNames: [], ipAddresses: [] },
			publicKeyDer: csr.value.publicKeyDer,
			serialNumber: Uint8Array.of(2, authority.requests & 0x7f),
			nowMs: time.authorityNowMs(),
			ttlMs: call.ttlMs,
			signerNotAfterMs: authority.signer.certificate.validToDate.getTime(),
		});
		assert.ok(template.ok);
		return [signCertificate(template.value, authority.signer), authority.roots];
	};
	const lines: string[] = [];
	const identity = createWorkloadIdentity({
		caAddress: "ca:15012",
		rootCert: { text: authority.roots },
		token: { text: "t" },
		clock: time.clock,
		random: () => seed,
		logger: createLogger({ write: (line) => lines.push(line) }),
		ttlMs,
		createCertificate,
	});
	const lost: number[] = [];
	const held: { atMs: number; leaf: X509Certificate; rootsPem: string }[] = [];
	identity.subscribe((certificate) => {
		if (certificate === undefined) lost.push(time.state.elapsedMs);
		else held.push({ atMs: time.state.elapsedMs, leaf: new X509Certificate(certificate.certChainPem), rootsPem: certificate.rootsPem });
	});
	return { ...time, authority, identity, lost, held, lines, run: () => identity.run(time.stop.signal) };
}

test("sec/ttl-60s: ten minutes with certificates of a minute: always one in force, renewed at half life", async () => {
	const { run, lost, held } = await createCase(10 * minuteMs);
	await run();
	assert.deepEqual(lost, []);
	assert.ok(held.length >= 19 && held.length <= 21, `${held.length} certificates`);
	for (const [i, { atMs }] of held.slice(1).entries()) assert.equal(atMs - (held[i]?.atMs ?? 0), 30 * secondMs);
});

for (const seed of [0, 0.25, 0.5, 0.75, 0.999]) {
	test(`sec/ca-away: the authority away for 40 % of the life, at the worst moment, costs nothing (jitter ${seed})`, async () => {
		const { run, at, authority, lost } = await createCase(10 * minuteMs, minuteMs, seed);
		for (const from of [29 * secondMs, 180 * secondMs, 330 * secondMs]) {
			at(from, () => (authority.isAway = true));
			at(from + 24 * secondMs, () => (authority.isAway = false));
		}
		await run();
		assert.deepEqual(lost, []);
	});
}

test("sec/ca-away: beyond the end it fails closed at that very moment, and is back within five seconds of the authority", async () => {
	const { run, at, authority, lost, held } = await createCase(10 * minuteMs);
	at(20 * secondMs, () => (authority.isAway = true));
	at(300 * secondMs, () => (authority.isAway = false));
	await run();
	assert.deepEqual(lost.map(Math.round), [60 * secondMs]);
	const back = held.find(({ atMs }) => atMs >= 300 * secondMs)?.atMs ?? 0;
	assert.ok(back >= 300 * secondMs && back <= 305 * secondMs, `back after ${back / 1000} s`);
	assert.ok(authority.requests < 300, `${authority.requests} requests: no drumming`);
});

for (const [what, jumpMs] of [
	["five minutes ahead", 5 * minuteMs],
	["five minutes back", -5 * minuteMs],
	["two days ahead", 2 * dayMs],
	["two days back", -2 * dayMs],
] as const) {
	test(`sec/clock: all clocks set ${what}: an identity again within five seconds, without a busy loop`, async () => {
		const { run, at, state, held, authority, identity, clock } = await createCase(10 * minuteMs, 10 * minuteMs);
		at(100 * secondMs, () => {
			state.wallMs += jumpMs;
			state.authorityMs += jumpMs;
		});
		let isHeld = false;
		at(170 * secondMs, () => (isHeld = identity.current !== undefined && identity.current.expiresAtMs > clock.nowMs()));
		await run();
		assert.ok(isHeld, "a certificate is in force a minute later");
		assert.ok(held.length >= 2 && held.length < 10, `${held.length} certificates`);
		assert.ok(authority.requests < 20 && state.sleeps < 200, `${authority.requests} requests, ${state.sleeps} sleeps`);
	});
}

test("sec/clock: only our clock is two days ahead: nothing is served, the reason is told, and it recovers when the clock is right", async () => {
	const { run, at, state, lost, held, lines, authority, identity } = await createCase(20 * minuteMs, 10 * minuteMs);
	at(100 * secondMs, () => (state.wallMs += 2 * dayMs));
	let isServed = true;
	at(300 * secondMs, () => (isServed = identity.current !== undefined));
	at(600 * secondMs, () => (state.wallMs = 0));
	await run();
	assert.equal(isServed, false);
	assert.equal(lost.length, 1);
	assert.ok(
		lines.some((line) => line.includes("has expired at")),
		"the log says what is wrong with the certificate",
	);
	assert.ok(held.some(({ atMs }) => atMs >= 600 * secondMs && atMs <= 605 * secondMs));
	assert.ok(authority.requests < 600, `${authority.requests} requests: no busy loop`);
});

test("sec/root-rotation: three roots in five minutes, told over xDS before they sign: each leaf leads to a root that is trusted by all", async () => {
	const { run, at, authority, identity, held, lost } = await createCase(6 * minuteMs);
	let roots = [authority.signer];
	const tell = () => {
		authority.roots = roots.map(({ pem }) => pem).join("");
		assert.ok(identity.trust(authority.roots).ok);
	};
	for (const [i, next] of [await createRoot(), await createRoot()].entries()) {
		const fromMs = (30 + i * 150) * secondMs;
		at(fromMs, () => {
			roots.push(next);
			tell();
		});
		at(fromMs + 20 * secondMs, () => (authority.signer = next));
		at(fromMs + 100 * secondMs, () => {
			roots = [next];
			tell();
		});
	}
	await run();
	assert.deepEqual(lost, []);
	const trusted = held.map(({ rootsPem }) => rootsPem.split("BEGIN").length - 1);
	assert.ok(trusted.includes(2), "old and new together");
	assert.equal(trusted.at(-1), 1, "the last root alone in the end");
	for (const { leaf, rootsPem } of held) {
		const pems = rootsPem.match(/-----BEGIN[^]*?-----END CERTIFICATE-----\n/g) ?? [];
		assert.ok(
			pems.some((pem) => leaf.verify(new X509Certificate(pem).publicKey)),
			"its own leaf leads to a root that it trusts",
		);
	}
	assert.equal(new Set(held.map(({ rootsPem }) => rootsPem)).size, 5);
});

test("what is told as roots and is no bundle is refused and changes nothing; a root that our own leaf needs is kept", async () => {
	const { identity, authority } = await createCase(minuteMs);
	await identity.renewNow();
	assert.equal(identity.trust("hello").ok, false);
	assert.equal(identity.current?.rootsPem, authority.roots);
	const other = await createRoot();
	assert.ok(identity.trust(other.pem).ok);
	assert.ok(identity.current?.rootsPem.includes(other.pem) && identity.current.rootsPem.includes(authority.signer.pem));
});
