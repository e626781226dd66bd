import assert from "node:assert/strict";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { test } from "node:test";
import { buildLeafTemplate, buildRootTemplate, decodeCsr, decodeNamedCsr, encodePublicKey, generateKeys, signCertificate, signSelf } from "@weft/pki";
import { type Clock, createLogger } from "@weft/runtime";
import type { CreateCertificate, CreateCertificateCall } from "./certificate-client.ts";
import { createWorkloadIdentity, type WorkloadIdentityOptions } from "./workload-identity.ts";
import type { WorkloadCertificate } from "./workload-certificate.ts";

const startMs = Date.UTC(2027, 0, 1);
const hourMs = 3_600_000;
const uri = "spiffe://cluster.local/ns/default/sa/web";
const logger = createLogger({ level: "none" });

/** Time that moves only when someone sleeps; it stops the run after `sleepsMax` sleeps. */
function createFakeClock(stop: AbortController, sleepsMax: number) {
	const sleeps: number[] = [];
	const state = { nowMs: startMs };
	const clock: Clock = {
		nowMs: () => state.nowMs,
		monotonicMs: () => state.nowMs - startMs,
		async sleep(ms) {
			sleeps.push(ms);
			state.nowMs += ms;
			if (sleeps.length >= sleepsMax) stop.abort();
		},
	};
	return { clock, sleeps, state };
}

async function createFakeAuthority(nowMs: () => number) {
	const keys = await generateKeys();
	const root = { serialNumber: Uint8Array.of(1, 1), publicKeyDer: encodePublicKey(keys.publicKey), nowMs: startMs };
	const rootPem = signSelf(buildRootTemplate({ ...root, trustDomain: "cluster.local" }), keys.privateKey);
	const certificate = new X509Certificate(rootPem);
	const calls: CreateCertificateCall[] = [];
	const state = { down: false, calls, rootPem, answer: async (_timeoutMs: number) => {}, spoil: (chain: string[]) => chain };
	const createCertificate: CreateCertificate = async (call) => {
		calls.push(call);
		if (state.down) throw new Error("unavailable");
		await state.answer(call.timeoutMs);
		const csr = decodeCsr(call.csrPem);
		assert.ok(csr.ok);
		const template = buildLeafTemplate({
			subjectAltNames: { uris: [uri], dnsNames: [], ipAddresses: [] },
			publicKeyDer: csr.value.publicKeyDer,
			serialNumber: Uint8Array.of(2, calls.length),
			nowMs: nowMs(),
			ttlMs: call.ttlMs,
			signerNotAfterMs: certificate.validToDate.getTime(),
		});
		assert.ok(template.ok);
		return state.spoil([signCertificate(template.value, { certificate, privateKey: keys.privateKey }), rootPem]);
	};
	return { ...state, state, createCertificate };
}

async function createCase(sleepsMax = 1) {
	const stop = new AbortController();
	const time = createFakeClock(stop, sleepsMax);
	const authority = await createFakeAuthority(time.clock.nowMs);
	const options: WorkloadIdentityOptions = {
		caAddress: "ca:15012",
		rootCert: { text: authority.rootPem },
		token: { text: "the-token\n" },
		clock: time.clock,
		random: () => 0.5,
		logger,
		createCertificate: authority.createCertificate,
	};
	const identity = createWorkloadIdentity(options);
	const published: (WorkloadCertificate | undefined)[] = [];
	identity.subscribe((certificate) => published.push(certificate));
	return { ...time, stop, authority, options, identity, published };
}

test("obtains a certificate for a key of its own and publishes it", async () => {
	const { identity, stop, published, authority } = await createCase();
	await identity.run(stop.signal);
	const [certificate] = published;
	assert.ok(certificate);
	assert.equal(certificate.spiffeId, uri);
	assert.equal(certificate.expiresAtMs, startMs + 24 * hourMs);
	assert.ok(new X509Certificate(certificate.certChainPem).checkPrivateKey(createPrivateKey(certificate.privateKeyPem)));
	assert.equal(authority.calls[0]?.bearerToken, "the-token");
	assert.equal(authority.calls[0]?.client, undefined);
	assert.equal(authority.calls[0]?.serverName, "istiod.istio-system.svc");
});

test("renews at half life with a new key, presenting the old certificate", async () => {
	// Twelve hours of waiting in steps of one minute, then one step more.
	const { identity, stop, published, authority, sleeps, state } = await createCase(12 * 60 + 1);
	await identity.run(stop.signal);
	assert.equal(published.length, 2);
	assert.ok(published[0] && published[1]);
	assert.notEqual(published[0].privateKeyPem, published[1].privateKeyPem);
	assert.deepEqual(authority.calls[1]?.client, published[0]);
	assert.ok(sleeps.every((ms) => ms <= 60_000));
	assert.equal(state.nowMs, startMs + 12 * hourMs + 60_000);
});

test("keeps serving while the authority is away, fails closed at expiry, and recovers", async () => {
	const { identity, stop, published, authority, state } = await createCase(Number.POSITIVE_INFINITY);
	await identity.renewNow();
	authority.state.down = true;
	identity.subscribe((certificate) => {
		if (certificate !== undefined && authority.state.down) assert.equal(state.nowMs, startMs);
		if (certificate === undefined) {
			assert.equal(state.nowMs, startMs + 24 * hourMs);
			assert.equal(identity.current, undefined);
			authority.state.down = false;
		} else if (state.nowMs > startMs) {
			stop.abort();
		}
	});
	await identity.run(stop.signal);
	assert.deepEqual(
		published.map((certificate) => certificate !== undefined),
		[true, false, true],
	);
	// Half a minute apart on average over twelve hours: it goes on trying, and never in a busy loop.
	assert.ok(authority.calls.length > 700 && authority.calls.length < 3_000, `${authority.calls.length} tries`);
});

test("an authority that takes its time is waited for twice as long each time, up to 80 s, and ten seconds again once it has answered", async () => {
	const { identity, authority, clock } = await createCase(Number.POSITIVE_INFINITY);
	authority.state.answer = async (timeoutMs) => {
		await clock.sleep(Math.min(timeoutMs, 60_000));
		if (timeoutMs < 60_000) throw new Error("no answer in time");
	};
	for (let i = 0; i < 3; i++) await assert.rejects(identity.renewNow(), /no answer in time/);
	await identity.renewNow();
	await identity.renewNow().catch(() => undefined);
	assert.deepEqual(
		authority.calls.map(({ timeoutMs }) => timeoutMs),
		[10_000, 20_000, 40_000, 80_000, 10_000],
	);
});

test("no request takes more than half of what is left of a certificate, but for ten seconds; a refusal at once changes nothing", async () => {
	const { identity, authority, clock, state } = await createCase(Number.POSITIVE_INFINITY);
	await identity.renewNow();
	authority.state.answer = async (timeoutMs) => {
		await clock.sleep(timeoutMs);
		throw new Error("no answer in time");
	};
	for (let i = 0; i < 4; i++) await assert.rejects(identity.renewNow());
	state.nowMs = startMs + 24 * hourMs - 50_000;
	await assert.rejects(identity.renewNow());
	await assert.rejects(identity.renewNow());
	assert.deepEqual(
		authority.calls.slice(1).map(({ timeoutMs }) => timeoutMs),
		[10_000, 20_000, 40_000, 80_000, 25_000, 12_500],
	);
	authority.state.down = true;
	await assert.rejects(identity.renewNow());
	await assert.rejects(identity.renewNow());
	assert.deepEqual(authority.calls.at(-1)?.timeoutMs, authority.calls.at(-2)?.timeoutMs);
});

test("current is empty from the very moment of expiry, whoever asks", async () => {
	const { identity, state } = await createCase();
	await identity.renewNow();
	state.nowMs += 24 * hourMs - 1;
	assert.ok(identity.current);
	state.nowMs += 1;
	assert.equal(identity.current, undefined);
});

test("concurrent renewals share one request", async () => {
	const { identity, authority } = await createCase();
	const all = await Promise.all(Array.from({ length: 50 }, () => identity.renewNow()));
	assert.equal(authority.calls.length, 1);
	assert.equal(new Set(all).size, 1);
});

test("a subscriber that throws costs nobody else the certificate", async () => {
	const { identity } = await createCase();
	identity.subscribe(() => {
		throw new Error("broken subscriber");
	});
	const heard: unknown[] = [];
	identity.subscribe((certificate) => heard.push(certificate));
	assert.equal(heard[0], undefined);
	const certificate = await identity.renewNow();
	assert.deepEqual(heard, [certificate]);
});

test("a subscriber that has left hears nothing more", async () => {
	const { identity } = await createCase();
	const heard: unknown[] = [];
	const leave = identity.subscribe((certificate) => heard.push(certificate));
	leave();
	await identity.renewNow();
	assert.deepEqual(heard, []);
});

test("roots learnt from the authority count beside the configured ones, as a rotated root needs", async () => {
	const { options, authority } = await createCase();
	const identity = createWorkloadIdentity({ ...options, rootCert: { text: "configured" } });
	await identity.renewNow();
	await identity.renewNow();
	assert.deepEqual(
		authority.calls.map(({ rootsPem }) => rootsPem),
		["configured", `configured\n${authority.rootPem}`],
	);
});

test("ready waits for the first certificate, and rejects when stopped before", async () => {
	const { identity } = await createCase();
	const ready = identity.ready();
	await identity.renewNow();
	assert.equal((await ready).spiffeId, uri);
	const other = await createCase();
	const stop = new AbortController();
	const never = other.identity.ready(stop.signal);
	stop.abort();
	await assert.rejects(never, /stopped before/);
});

const spoiled: Record<string, [(chain: string[]) => string[], RegExp]> = {
	"an answer without a root bundle is refused": [([leaf = ""]) => [leaf], /no root bundle/],
	"an empty answer is refused": [() => [], /no root bundle/],
	"a chain longer than any verifier follows is refused": [([leaf = "", root = ""]) => [...Array<string>(11).fill(leaf), root], /11 certificates/],
	"a root bundle that is no certificate is refused": [([leaf = ""]) => [leaf, "hello"], /trust bundle/],
	"an authority in the leaf's place is refused": [([, root = ""]) => [root, root], /not for our key/],
};

for (const [name, [spoil, reason]] of Object.entries(spoiled)) {
	test(name, async () => {
		const { identity, authority } = await createCase();
		authority.state.spoil = spoil;
		await assert.rejects(identity.renewNow(), reason);
		assert.equal(identity.current, undefined);
	});
}

test("a certificate for another key is refused", async () => {
	const { identity, authority } = await createCase();
	let first: string[] = [];
	authority.state.spoil = (chain) => (first.length === 0 ? (first = chain) : first);
	await identity.renewNow();
	await assert.rejects(identity.renewNow(), /not for our key/);
});

test("a certificate under a root that the answer does not name is refused", async () => {
	const { identity, authority } = await createCase();
	const other = await createFakeAuthority(() => startMs);
	authority.state.spoil = ([leaf = ""]) => [leaf, other.rootPem];
	await assert.rejects(identity.renewNow(), /not issued by any trusted root/);
});

test("it asks for its own name from the first request on, and for its signer: authorities that pass requests on look at both", async () => {
	const { authority, options } = await createCase();
	const identity = createWorkloadIdentity({ ...options, requestedId: uri, certSigner: "istio-system" });
	await identity.renewNow();
	await identity.renewNow();
	for (const { csrPem, certSigner } of authority.calls) {
		const csr = decodeNamedCsr(csrPem);
		assert.ok(csr.ok);
		assert.deepEqual([csr.value.names, certSigner], [{ uris: [uri], dnsNames: [], ipAddresses: [], otherNames: 0 }, "istio-system"]);
	}
	assert.equal(authority.calls.length, 2);
});
