import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { assertClean, type Fixture, get, isResponse, startFixture } from "./fixture.ts";
import { buildMutations, type Mutation } from "./mutations.ts";
import { RawClient } from "./raw-client.ts";

const lanes = 24;
/** An unfinished message is waited for no longer than this. */
const quietMs = 150;
/** The mutation, a request hidden in it if the proxy sees it as one, the probe; one more would be a desync. */
const responsesMax = 4;

interface Verdict {
	readonly mutation: Mutation;
	/** What is wrong; undefined: nothing. */
	readonly desync: string | undefined;
	readonly statuses: readonly number[];
}

/** Sends the mutation with a probe behind it, then a probe by another client. */
async function judge(port: number, mutation: Mutation, n: number, pieces: 1 | 2, victim: () => Promise<string | undefined>): Promise<Verdict> {
	const client = await RawClient.connect(port);
	const bodies: string[] = [];
	const statuses: number[] = [];
	const probe = `saw GET /probe/${n}`;
	await sendInPieces(client, `${mutation.bytes}${get(`/probe/${n}`)}`, pieces, n);
	let desync: string | undefined;
	try {
		while (statuses.length <= responsesMax && bodies.at(-1) !== probe) {
			const outcome = await client.response({ quietMs });
			if (!isResponse(outcome)) break;
			statuses.push(outcome.status);
			bodies.push(outcome.body);
		}
	} catch (error) {
		desync = String(error);
	}
	if (statuses.length > responsesMax) desync ??= `${statuses.length} responses`;
	// A stranger's answer, whoever it was meant for.
	const strange = bodies.find((body) => body.startsWith("saw ") && !/^saw [^ ]+ (?:\/mut[^ ]*|\/smuggled|\/probe\/\d+)$/.test(body));
	const other = bodies.find((body) => body.startsWith("saw GET /probe/") && body !== probe);
	client.close();
	return { mutation, desync: desync ?? (await victim()) ?? strange ?? other, statuses };
}

/** Two pieces meet the path where a head or a chunk is put together from several reads. */
async function sendInPieces(client: RawClient, text: string, pieces: 1 | 2, n: number): Promise<void> {
	const at = pieces === 1 ? 0 : 1 + ((n * 37) % (text.length - 1));
	if (at > 0) client.send(text.slice(0, at));
	if (at > 0) await sleep(1);
	client.send(text.slice(at));
}

/** A client with a connection of its own that asks for its own path, again and again. */
function createVictim(port: number, lane: number): { ask(): Promise<string | undefined>; close(): void } {
	let client: RawClient | undefined;
	let n = 0;
	return {
		async ask() {
			client ??= await RawClient.connect(port);
			const path = `/victim/${lane}/${n++}`;
			client.send(get(path));
			const outcome = await client.response();
			return isResponse(outcome) && outcome.status === 200 && outcome.body === `saw GET ${path}`
				? undefined
				: `the victim's answer to ${path}: ${JSON.stringify(outcome)}`;
		},
		close: () => client?.close(),
	};
}

describe("sec/a2: mutations of framing", () => {
	let fixture: Fixture;
	before(async () => {
		fixture = await startFixture({ listeners: { front: {}, trailers: { http_protocol_options: { enable_trailers: true } } } });
	});
	after(() => fixture?.stop());

	const mutations = buildMutations();

	async function judgeAll(listener: string, pieces: 1 | 2): Promise<readonly Verdict[]> {
		const port = fixture.proxy.port(listener);
		const verdicts: Verdict[] = [];
		let next = 0;
		const run = async (lane: number) => {
			const victim = createVictim(port, lane);
			for (let n = next++; n < mutations.length; n = next++) verdicts.push(await judge(port, mutations[n] as Mutation, n, pieces, victim.ask));
			victim.close();
		};
		await Promise.all(Array.from({ length: lanes }, (_, lane) => run(lane)));
		return verdicts;
	}

	test("there are at least 1500, all different", () => {
		assert.ok(new Set(mutations.map(({ bytes }) => bytes)).size >= 1500);
	});

	const ways = [
		["whole", "front", 1],
		["in two pieces", "front", 2],
		["where trailers are passed on", "trailers", 1],
	] as const;
	for (const [how, listener, pieces] of ways) {
		test(`sent ${how}, none makes the proxy and the upstream disagree`, async () => {
			fixture.upstream.clear();
			const verdicts = await judgeAll(listener, pieces);
			assert.deepEqual(
				verdicts.filter(({ desync }) => desync !== undefined).map(({ mutation, desync }) => `${mutation.name}: ${desync}`),
				[],
			);
			assert.equal(
				fixture.upstream.seen.some(({ trailers }) => trailers.length > 0),
				listener === "trailers",
			);
			assertClean(fixture, listener === "trailers");
			const accepted = verdicts.filter(({ mutation, statuses }) => statuses.includes(200) && !isHarmless(mutation));
			assert.deepEqual(
				accepted.map(({ mutation, statuses }) => `${mutation.name}: ${statuses.join(" ")}`),
				[],
			);
			// The test would prove nothing if none were let through.
			assert.ok(verdicts.filter(({ statuses }) => statuses[0] === 200).length > 50);
		});
	}
});

/** What may be accepted, and why. Each was read by the upstream's strict reader as well. */
const harmless: readonly RegExp[] = [
	// White space around a value is not part of it, RFC 9112 §5.1.
	/ 0x(?:09|20) after the (?:colon|value)$/,
	// A name of its own, RFC 9110 §5.1; no server may read it as the one it resembles.
	/ 0x5f (?:before the name|in the name|before the colon|in a line end before|in a trailer's name)$/,
	/^request line: 0x5f (?:before|in) the method$/,
	// The right byte in the right place.
	/ 0x0d for (?:CR|the CR behind a size)$/,
	/^request line: 0x20 after the (?:method|target)$/,
	// Part of a target; bytes above ASCII as everybody takes them.
	/^request line: 0x(?:2c|3b|5f|80|85|a0|ad|c2|ef|ff) in the target$/,
	// Extensions and trailers end here, RFC 9112 §7.1.
	/^chunks: 0x3b after (?:a|the last) size$/,
	/^chunks: 0x(?:09|20|2c|3b|5f|80|85|a0|ad|c2|ef|ff) in (?:an extension|a trailer's value)$/,
	/^chunks: last size "000"$/,
	// A whole request, and a line feed in front of the next, which is refused.
	/^chunks: 0x0a between the last CR and LF$/,
];

function isHarmless({ name }: Mutation): boolean {
	return harmless.some((pattern) => pattern.test(name));
}
