import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { connect } from "node:net";
import { after, describe, it } from "node:test";
import { createLogger } from "@weft/runtime";
import { NameTable } from "@weft/xds/generated/istio/networking/nds/v1/nds.ts";
import { type RunningDnsServer, startDnsServer } from "./dns-server.ts";
import { type Answer, decodeQuery, encodeAnswer, queryType } from "./message.ts";
import { compileNames } from "./name-lookup.ts";
import { parseResolvConf } from "./resolv-conf.ts";
import { type Exchange, exchangeUdp, frame, takeFramed } from "./upstream.ts";

const logger = createLogger({ level: "none" });
const running: RunningDnsServer[] = [];
after(() => Promise.all(running.map((server) => server.close())));

function query(name: string, type: number, { id = 7, edns = 0 } = {}): Buffer {
	const labels = name.split(".").flatMap((label) => [Buffer.from([label.length]), Buffer.from(label)]);
	const option = edns === 0 ? [] : [Buffer.from([0, 0, 41, edns >> 8, edns & 255, 0, 0, 0, 0, 0, 0])];
	const header = Buffer.from([id >> 8, id & 255, 1, 0, 0, 1, 0, 0, 0, 0, 0, option.length]);
	return Buffer.concat([header, ...labels, Buffer.from([0, 0, type, 0, 1]), ...option]);
}

const table = NameTable.fromPartial({
	table: {
		"web.shop.svc.cluster.local": { ips: ["10.96.0.1", "fd00::1"], registry: "Kubernetes", shortname: "web", namespace: "shop", altHosts: [] },
		"db.back.svc.cluster.local": { ips: ["10.96.0.2"], registry: "Kubernetes", shortname: "db", namespace: "back", altHosts: [] },
		"api.example.com": { ips: ["240.240.0.1"], registry: "External", shortname: "", namespace: "", altHosts: [] },
		"*.wild.example.com": { ips: ["240.240.0.2"], registry: "External", shortname: "", namespace: "", altHosts: [] },
	},
});
const search = ["shop.svc.cluster.local", "svc.cluster.local"];
const lookup = compileNames(table, { namespace: "shop", domain: "shop.svc.cluster.local", search });
const shown = (answers: readonly Answer[] | undefined) =>
	answers?.map((a) => (a.kind === "alias" ? `${a.name} is ${a.target}` : `${a.name} ${a.address.toString("hex")}`));

describe("names of the mesh", () => {
	const cases: readonly (readonly [name: string, type: keyof typeof queryType | number, expected: readonly string[] | undefined])[] = [
		["web.shop.svc.cluster.local", "a", ["web.shop.svc.cluster.local 0a600001"]],
		["web.shop.svc.cluster.local", "aaaa", ["web.shop.svc.cluster.local fd000000000000000000000000000001"]],
		["web", "a", ["web 0a600001"]],
		["web.shop", "a", ["web.shop 0a600001"]],
		["web.shop.svc", "a", ["web.shop.svc 0a600001"]],
		["db", "a", undefined],
		["db.back", "a", ["db.back 0a600002"]],
		["db.back.svc.cluster.local", "aaaa", []],
		["db.back.shop.svc.cluster.local", "a", ["db.back.shop.svc.cluster.local is db.back", "db.back 0a600002"]],
		["api.example.com", "a", ["api.example.com f0f00001"]],
		["api.example.com.shop.svc.cluster.local", "a", ["api.example.com.shop.svc.cluster.local is api.example.com", "api.example.com f0f00001"]],
		["x.wild.example.com", "a", ["x.wild.example.com f0f00002"]],
		["x.y.wild.example.com", "a", ["x.y.wild.example.com f0f00002"]],
		["x.wild.example.com.shop.svc.cluster.local", "a", ["x.wild.example.com.shop.svc.cluster.local is x.wild.example.com", "x.wild.example.com f0f00002"]],
		["wild.example.com", "a", undefined],
		["other.example.com", "a", undefined],
		["web.shop.svc.cluster.local", 15, undefined],
	];
	for (const [name, type, expected] of cases) {
		it(`${name} ${type}`, () => assert.deepEqual(shown(lookup(name, typeof type === "number" ? type : queryType[type])), expected));
	}

	it("every address comes first in its turn", () => {
		const many = NameTable.fromPartial({
			table: { h: { ips: ["10.0.0.1", "10.0.0.2", "10.0.0.3"], registry: "", shortname: "", namespace: "", altHosts: [] } },
		});
		const names = compileNames(many, { namespace: "a", domain: "a.svc.cluster.local", search: [] });
		const firsts = new Set(Array.from({ length: 200 }, () => shown(names("h", queryType.a))?.[0]));
		assert.equal(firsts.size, 3);
	});
});

describe("messages", () => {
	it("dots within a label part no labels, and come back in the answer", () => {
		const labels = ["a.b", "c\\d", "wild", "example", "com"].flatMap((label) => [Buffer.from([label.length]), Buffer.from(label)]);
		const name = Buffer.concat([...labels, Buffer.from([0])]);
		const asked = decodeQuery(Buffer.concat([query("x", 1).subarray(0, 12), name, Buffer.from([0, 1, 0, 1])]));
		assert.ok(asked);
		assert.equal(asked.name, String.raw`a\046b.c\092d.wild.example.com`);
		const answers = lookup(asked.name, queryType.a) ?? [];
		assert.equal(answers.length, 1);
		const answer = encodeAnswer(asked, 0, answers, 30, 512);
		assert.deepEqual(answer.subarray(12 + asked.question.length, 12 + asked.question.length + name.length), name);
	});

	it("what is not one question of class IN is none", () => {
		const good = query("a.b", 1);
		assert.equal(decodeQuery(good)?.name, "a.b");
		const patched = (at: number, value: number) => {
			const copy = Buffer.from(good);
			copy[at] = value;
			return copy;
		};
		for (const bad of [
			good.subarray(0, 11),
			good.subarray(0, -1),
			patched(2, 0x81),
			patched(5, 2),
			patched(good.length - 1, 3),
			patched(12, 0xc0),
			patched(12, 60),
		])
			assert.equal(decodeQuery(bad), undefined, bad.toString("hex"));
	});

	it("random bytes never throw", () => {
		for (let i = 0; i < 5_000; i++) decodeQuery(Buffer.from(Array.from({ length: i % 64 }, () => Math.floor(Math.random() * 256))));
	});

	it("an answer that is too long for UDP is cut, and says so; EDNS gives it room", () => {
		const answers = Array.from({ length: 40 }, (_, i): Answer => ({ kind: "address", name: "many.example.com", address: Buffer.from([10, 0, 0, i]) }));
		for (const [edns, truncated] of [
			[0, true],
			[4096, false],
		] as const) {
			const asked = decodeQuery(query("many.example.com", 1, { edns }));
			assert.ok(asked);
			const reply = encodeAnswer(asked, 0, answers, 30, asked.answerBytesMax);
			assert.equal((reply.readUInt16BE(2) & 0x0200) !== 0, truncated);
			assert.ok(reply.length <= asked.answerBytesMax);
			assert.equal(reply.readUInt16BE(6) === 40, !truncated);
		}
	});
});

describe("the server", () => {
	const echo: Exchange = async (server, message) => {
		if (server.host === "dead") throw new Error("no answer");
		const reply = Buffer.from(message);
		reply[2] = 0x81;
		reply[3] = 0x83;
		return reply;
	};
	const start = async (hosts: readonly string[], exchange = { udp: echo, tcp: echo }) => {
		const upstream = hosts.map((host) => ({ host, port: 53 }));
		for (let attempts = 1; ; attempts++) {
			const server = await startDnsServer({ port: 0, hosts: ["127.0.0.1", "::1"], upstream, logger, exchange });
			running.push(server);
			// A port that was free for one family may be somebody's in the other.
			if (server.addresses.length === 2 || attempts === 10) return server;
		}
	};
	const ask = (port: number, message: Buffer, host = "127.0.0.1") => exchangeUdp({ host, port }, message, 2_000);
	const code = (reply: Buffer) => (reply[3] ?? 0) & 15;

	it("fails queries before the first table, then answers names over UDP and TCP, both families", async () => {
		const server = await start(["other"]);
		assert.equal(code(await ask(server.port, query("web", 1))), 2);
		server.setNames(lookup);
		for (const host of ["127.0.0.1", "::1"]) {
			const reply = await ask(server.port, query("web", 1, { id: 99 }), host);
			assert.equal(reply.readUInt16BE(0), 99);
			assert.equal(reply.subarray(-4).toString("hex"), "0a600001");
		}
		const socket = connect({ host: "127.0.0.1", port: server.port });
		// Two queries in one write, cut at an odd place.
		const both = Buffer.concat([frame(query("web", 1, { id: 1 })), frame(query("db.back", 1, { id: 2 }))]);
		socket.write(both.subarray(0, 9));
		socket.write(both.subarray(9));
		let received = Buffer.alloc(0);
		const ids: number[] = [];
		while (ids.length < 2) {
			const [part] = (await once(socket, "data")) as [Buffer];
			received = Buffer.concat([received, part]);
			for (let taken = takeFramed(received); taken; taken = takeFramed(received)) {
				ids.push(taken.message.readUInt16BE(0));
				received = Buffer.from(taken.rest);
			}
		}
		assert.deepEqual(ids, [1, 2]);
		socket.destroy();
	});

	it("forwards other names as they came, past servers that do not answer; without any it says failure", async () => {
		const server = await start(["dead", "good"]);
		server.setNames(lookup);
		assert.equal(code(await ask(server.port, query("other.example.com", 1))), 3);
		assert.equal(code(await ask(server.port, query("web", 15))), 3);
		const alone = await start(["dead"]);
		alone.setNames(lookup);
		assert.equal(code(await ask(alone.port, query("other.example.com", 1))), 2);
	});

	it("takes an answer of the server that was asked only, and gives up in time", async () => {
		const silent = createSocket("udp4");
		silent.bind(0, "127.0.0.1");
		await once(silent, "listening");
		const { port } = silent.address();
		const forger = createSocket("udp4");
		silent.on("message", (message, peer) => {
			const forged = Buffer.from(message);
			forged[2] = 0x81;
			forger.send(forged, peer.port, peer.address);
		});
		await assert.rejects(exchangeUdp({ host: "127.0.0.1", port }, query("a", 1), 150), /no answer of 127\.0\.0\.1 within 150 ms/);
		silent.close();
		forger.close();
	});
});

it("resolv.conf: servers of both families, and the last search list", () => {
	const text =
		"# c\nnameserver 10.96.0.10\nnameserver fd00::a\nnameserver nonsense\nsearch a.svc.cluster.local svc.cluster.local.\ndomain x\nsearch B.svc\noptions ndots:5\n";
	assert.deepEqual(parseResolvConf(text), { servers: ["10.96.0.10", "fd00::a"], search: ["b.svc"] });
});
