import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { test } from "node:test";
import { type Clock, createLogger } from "@weft/runtime";
import { buildSelfSignedAuthority } from "./authority-material.ts";
import { type CertificateAuthority, createCertificateAuthority, issueKeyedLeaf } from "./certificate-authority.ts";
import { createMemoryKeyStore, type KeyStore } from "./key-store.ts";
import { createRootRotation, type ProxyCounts, type RootRotation } from "./root-rotation.ts";

const startMs = Date.UTC(2027, 0, 1);
const secondMs = 1_000;
const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
const logger = createLogger({ level: "none" });
const identity = { trustDomain: "cluster.local", namespace: "default", serviceAccount: "web" };

interface Replica {
	readonly authority: CertificateAuthority;
	readonly rotation: RootRotation;
	readonly counts: { proxies: number; missing: number; silent: number };
}

function createTime() {
	const state = { nowMs: startMs };
	const clock: Clock = { nowMs: () => state.nowMs, monotonicMs: () => state.nowMs - startMs, sleep: async () => undefined };
	return { state, clock };
}

async function createReplica(store: KeyStore, clock: Clock, replica = "istiod-1", leafTtlMs = dayMs): Promise<Replica> {
	const authority = await createCertificateAuthority({ store, clock, logger, rootKeyAlgorithm: "ecdsa-p256", leafTtlMs });
	const counts = { proxies: 0, missing: 0, silent: 0 };
	const countProxies = (): ProxyCounts => ({ ...counts });
	const rotation = createRootRotation({ authority, store, replica, countProxies, rootKeyAlgorithm: "ecdsa-p256", clock, logger });
	return { authority, rotation, counts };
}

const rootOf = ({ authority }: Replica) => authority.state.slots.current.rootCertPem;
const trusts = ({ authority }: Replica, pem: string) => authority.trustBundlePem.includes(pem.trim());

async function prepare(replica: Replica): Promise<string> {
	const prepared = await replica.rotation.prepare();
	assert.ok(prepared.ok, JSON.stringify(prepared));
	return replica.authority.state.slots.next?.authority.rootCertPem ?? "";
}

test("prepare → distribute → activate → retire: both roots are trusted before the new one signs and until the last old leaf has ended", async () => {
	const { state, clock } = createTime();
	const one = await createReplica(createMemoryKeyStore(), clock);
	const first = rootOf(one);
	const second = await prepare(one);
	assert.ok(trusts(one, first) && trusts(one, second));
	assert.equal(rootOf(one), first, "the old root goes on signing");
	one.counts.proxies = 3;
	one.counts.missing = 1;
	state.nowMs += 5 * 60 * secondMs;
	await one.rotation.tick();
	assert.match(one.rotation.status().reason, /1 proxies have not confirmed it/);
	assert.equal(rootOf(one), first, "one proxy does not know it yet");
	one.counts.missing = 0;
	await one.rotation.tick();
	assert.equal(rootOf(one), second);
	assert.ok(trusts(one, first));
	const leaf = await issueKeyedLeaf(one.authority, { identity, ttlMs: 0 });
	assert.ok(leaf.ok && new X509Certificate(leaf.value.chainPem[0] ?? "").verify(new X509Certificate(second).publicKey));
	state.nowMs += dayMs;
	await one.rotation.tick();
	assert.ok(trusts(one, first), "leaves of a day live until now");
	state.nowMs += 3 * hourMs;
	await one.rotation.tick();
	assert.ok(!trusts(one, first));
	assert.equal(one.rotation.status().phase, "steady");
});

test("a root is handed out for a minute at least, whatever proxies say", async () => {
	const { state, clock } = createTime();
	const one = await createReplica(createMemoryKeyStore(), clock);
	const first = rootOf(one);
	await prepare(one);
	state.nowMs += 59 * secondMs;
	await one.rotation.tick();
	assert.equal(rootOf(one), first);
	state.nowMs += secondMs;
	await one.rotation.tick();
	assert.notEqual(rootOf(one), first);
});

test("proxies that cannot confirm get the time in which each of them renews", async () => {
	const { state, clock } = createTime();
	const one = await createReplica(createMemoryKeyStore(), clock);
	const first = rootOf(one);
	await prepare(one);
	Object.assign(one.counts, { proxies: 2, silent: 1 });
	state.nowMs += 14 * hourMs;
	await one.rotation.tick();
	assert.equal(rootOf(one), first);
	assert.match(one.rotation.status().reason, /cannot confirm/);
	state.nowMs += hourMs;
	await one.rotation.tick();
	assert.notEqual(rootOf(one), first);
});

test("a proxy that never confirms holds it up for an hour, not for ever", async () => {
	const { state, clock } = createTime();
	const one = await createReplica(createMemoryKeyStore(), clock);
	const first = rootOf(one);
	await prepare(one);
	Object.assign(one.counts, { proxies: 2, missing: 1 });
	state.nowMs += hourMs - secondMs;
	await one.rotation.tick();
	assert.equal(rootOf(one), first);
	state.nowMs += secondMs;
	await one.rotation.tick();
	assert.notEqual(rootOf(one), first);
});

test("an old root outlives the longest leaf that any replica gave out under it", async () => {
	const { state, clock } = createTime();
	const one = await createReplica(createMemoryKeyStore(), clock);
	const first = rootOf(one);
	assert.ok((await issueKeyedLeaf(one.authority, { identity, ttlMs: 30 * dayMs })).ok);
	await prepare(one);
	state.nowMs += hourMs;
	await one.rotation.tick();
	assert.notEqual(rootOf(one), first);
	state.nowMs += 29 * dayMs;
	await one.rotation.tick();
	assert.ok(trusts(one, first));
	state.nowMs += dayMs;
	await one.rotation.tick();
	assert.ok(!trusts(one, first));
});

test("two replicas agree: proxies of either are waited for, one step is taken once", async () => {
	const { state, clock } = createTime();
	const store = createMemoryKeyStore();
	const [one, two] = [await createReplica(store, clock, "istiod-1"), await createReplica(store, clock, "istiod-2")];
	const first = rootOf(one);
	const second = await prepare(one);
	await assert.doesNotReject(two.rotation.tick());
	assert.ok(trusts(two, second), "the other has taken it up");
	Object.assign(two.counts, { proxies: 1, missing: 1 });
	await two.rotation.tick();
	state.nowMs += 59 * secondMs;
	await two.rotation.tick();
	state.nowMs += 2 * secondMs;
	await one.rotation.tick();
	assert.equal(rootOf(one), first, "a proxy of the other replica lacks it");
	assert.equal(one.rotation.status().proxies.missing, 1);
	two.counts.missing = 0;
	await two.rotation.tick();
	await Promise.all([one.rotation.tick(), two.rotation.tick()]);
	await one.rotation.tick();
	assert.equal(rootOf(one), second);
	assert.equal(rootOf(two), second);
	assert.equal(one.authority.state.slots.retiring.length, 1);
});

test("two replicas asked at one time prepare one root", async () => {
	const { clock } = createTime();
	const store = createMemoryKeyStore();
	const [one, two] = [await createReplica(store, clock, "istiod-1"), await createReplica(store, clock, "istiod-2")];
	const outcomes = await Promise.all([one.rotation.prepare(), two.rotation.prepare()]);
	assert.equal(outcomes.filter(({ ok }) => ok).length, 1);
	await Promise.all([one.rotation.tick(), two.rotation.tick()]);
	assert.equal(one.authority.trustBundlePem, two.authority.trustBundlePem);
	assert.equal(one.authority.state.trustBundle.roots.length, 2);
});

test("a replica that comes in the midst of a rotation, or takes over, goes on with it", async () => {
	const { state, clock } = createTime();
	const store = createMemoryKeyStore();
	const one = await createReplica(store, clock, "istiod-1");
	const second = await prepare(one);
	const late = await createReplica(store, clock, "istiod-2");
	assert.ok(trusts(late, second));
	await one.rotation.tick();
	state.nowMs += 2 * 60 * secondMs;
	// The first is gone: its report is old, and counts no longer.
	await late.rotation.tick();
	assert.equal(rootOf(late), second);
});

test("a self-signed root is renewed with its own key in the last fifth of its life, and not before", async () => {
	const { state, clock } = createTime();
	const one = await createReplica(createMemoryKeyStore(), clock);
	const first = rootOf(one);
	state.nowMs += 7.9 * 365 * dayMs;
	await one.rotation.tick();
	assert.equal(rootOf(one), first);
	state.nowMs += 0.2 * 365 * dayMs;
	await one.rotation.tick();
	const renewed = rootOf(one);
	assert.notEqual(renewed, first);
	const [old, fresh] = [new X509Certificate(first), new X509Certificate(renewed)];
	assert.ok(old.publicKey.equals(fresh.publicKey));
	assert.equal(old.subject, fresh.subject);
	const leaf = await issueKeyedLeaf(one.authority, { identity, ttlMs: 0 });
	assert.ok(leaf.ok);
	const signed = new X509Certificate(leaf.value.chainPem[0] ?? "");
	assert.ok(signed.checkIssued(old) && signed.verify(old.publicKey), "who has the old certificate trusts it as well");
});

test("a plugged-in root is staged: trusted first, signing later; what does not belong together is refused", async () => {
	const { state, clock } = createTime();
	const make = () => buildSelfSignedAuthority({ trustDomain: "corp", keyAlgorithm: "ecdsa-p384", nowMs: startMs });
	const [old, fresh, other] = [await make(), await make(), await make()];
	const one = await createReplica(createMemoryKeyStore(old), clock);
	assert.equal((await one.rotation.stage({ ...fresh, caKeyPem: other.caKeyPem })).ok, false);
	assert.deepEqual(await one.rotation.stage(fresh), { ok: true, value: true });
	assert.deepEqual(await one.rotation.stage(fresh), { ok: true, value: false }, "looked at again: it is the same");
	assert.equal((await one.rotation.stage(other)).ok, false, "one after the other");
	assert.ok(trusts(one, old.rootCertPem) && trusts(one, fresh.rootCertPem));
	state.nowMs += 2 * 60 * secondMs;
	await one.rotation.tick();
	assert.equal(rootOf(one), fresh.rootCertPem);
});

test("eight old roots at most are trusted beside the present one", async () => {
	const { state, clock } = createTime();
	const one = await createReplica(createMemoryKeyStore(), clock);
	for (let i = 0; i < 8; i++) {
		await prepare(one);
		state.nowMs += 60 * secondMs;
		await one.rotation.tick();
	}
	assert.equal(one.authority.state.trustBundle.roots.length, 9);
	assert.match(JSON.stringify(await one.rotation.prepare()), /still trusted/);
});

test("a store that fails leaves the present signer, and is tried again", async () => {
	const { state, clock } = createTime();
	const store = createMemoryKeyStore();
	let isDown = false;
	const flaky: KeyStore = { ...store, load: async () => (isDown ? Promise.reject(new Error("away")) : store.load()) };
	const one = await createReplica(flaky, clock);
	const second = await prepare(one);
	state.nowMs += 60 * secondMs;
	isDown = true;
	await assert.rejects(one.rotation.tick(), /away/);
	assert.ok((await issueKeyedLeaf(one.authority, { identity, ttlMs: 0 })).ok);
	isDown = false;
	await one.rotation.tick();
	assert.equal(rootOf(one), second);
});
