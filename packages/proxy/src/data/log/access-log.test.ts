import assert from "node:assert/strict";
import { test } from "node:test";
import type { FileAccessLog } from "../../config/access-logs.ts";
import { createHeaders, createRequestView } from "../headers/headers-view.ts";
import { compileAccessLog, istioAccessLogFormat } from "./access-log.ts";
import { createLogFile, type LogFileSystem } from "./log-file.ts";
import { responseFlags } from "./response-flags.ts";
import { createConnectionInfo, createStreamInfo, resetStreamInfo, type StreamInfo } from "./stream-info.ts";

const environment = { hostname: "pod-1", env: { TIER: "gold" }, nowMs: () => 0 };

function sample(): StreamInfo {
	const connection = createConnectionInfo({ id: 7, localAddress: "10.0.0.2:9080", remoteAddress: "10.0.0.9:5000", requestedServerName: "sni.example" });
	return Object.assign(createStreamInfo(connection), {
		startAt: 100,
		endAt: 112.9,
		startTimeMs: Date.UTC(2026, 0, 2, 3, 4, 5, 678),
		protocol: "HTTP/1.1",
		responseCode: 503,
		responseCodeDetails: "via_upstream",
		responseFlags: responseFlags.UF | responseFlags.URX,
		bytesReceived: 3,
		bytesSent: 12,
		request: createRequestView({ path: "/x?y", authority: "reviews:9080", headers: { "user-agent": "curl", "x-request-id": "id-1" } }),
		response: createHeaders({ "x-envoy-upstream-service-time": "9" }),
		upstreamCluster: "outbound|9080||reviews",
		upstreamHost: "10.0.0.3:9080",
		upstreamLocalAddress: "10.0.0.2:41000",
		routeName: "default",
	});
}

function lineOf(log: Partial<FileAccessLog>, info = sample()): string {
	const lines: string[] = [];
	const full: FileAccessLog = { kind: "file", path: "/dev/stdout", format: { kind: "text", text: "" }, filter: undefined, ...log };
	const { value, errors } = compileAccessLog(full, environment, () => ({ write: (line) => void lines.push(line) }));
	assert.deepEqual(errors, []);
	value(info);
	return lines.join("");
}

test("Envoy's default format", () => {
	assert.equal(lineOf({}), '[2026-01-02T03:04:05.678Z] "GET /x?y HTTP/1.1" 503 URX,UF 3 12 12 9 "-" "curl" "id-1" "reviews:9080" "10.0.0.3:9080"\n');
});

test("Istio's format", () => {
	assert.equal(
		lineOf({ format: { kind: "text", text: istioAccessLogFormat } }),
		'[2026-01-02T03:04:05.678Z] "GET /x?y HTTP/1.1" 503 URX,UF via_upstream - "-" 3 12 12 9 "-" "curl" "id-1" "reviews:9080" "10.0.0.3:9080" ' +
			"outbound|9080||reviews 10.0.0.2:41000 10.0.0.2:9080 10.0.0.9:5000 sni.example default\n",
	);
});

test("operators, their arguments and lengths", () => {
	for (const [format, wanted] of [
		["%START_TIME(%Y/%m/%dT%H:%M:%S.%3f %s)%", "2026/01/02T03:04:05.678 1767323045"],
		["%REQ(USER-AGENT):2%", "cu"],
		["%REQ(X-NO?USER-AGENT)%", "curl"],
		["%REQ(:AUTHORITY)% 100%%", "reviews:9080 100%"],
		["%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_LOCAL_PORT%", "10.0.0.9 9080"],
		["%RESPONSE_FLAGS_LONG%", "UpstreamRetryLimitExceeded,UpstreamConnectionFailure"],
		["%HOSTNAME% %ENVIRONMENT(TIER)% %CONNECTION_ID%", "pod-1 gold 7"],
		["%COMMON_DURATION(DS_RX_BEG:DS_TX_END:us)%", "12900"],
		["%COMMON_DURATION(DS_RX_BEG:DS_TX_END)%", "12"],
		["%REQUEST_DURATION%", "-"],
		// Names and values, `:status` and the like among them.
		["%REQUEST_HEADERS_BYTES% %RESPONSE_HEADERS_BYTES%", "82 40"],
		["%DYNAMIC_METADATA(a:b)%", "-"],
	] as const) {
		assert.equal(lineOf({ format: { kind: "text", text: format } }), wanted, format);
	}
});

test("what is not an operator is an error that names it", () => {
	for (const [format, wanted] of [
		["%QUERY_PARAMS(X)%", /Invalid QUERY_PARAMS option: 'X', only 'ORIG'\/'DECODED' are allowed/],
		["%FILTER_STATE(k:FIELD)%", /FIELD should be used with the field name/],
		["%NOPE%", /NOPE% is not a known format operator/],
		["%REQ(x", /not closed/],
		["50% off", /not closed/],
		["%GRPC_STATUS(X)%", /must be CAMEL_STRING/],
		["%PROTOCOL:3%", /PROTOCOL% takes no length/],
		["%START_TIME(%Y):2%", /START_TIME% takes no length/],
		["%REQ(a?b?c)%", /REQ% names more than one other header/],
		["%RESP(a?b?c)%", /RESP% names more than one other header/],
	] as const) {
		const { errors } = compileAccessLog({ kind: "file", path: "", format: { kind: "text", text: format }, filter: undefined }, environment, () => ({
			write: () => undefined,
		}));
		assert.match(errors.join(), wanted, format);
	}
});

test("bytes of the network that are UTF-8 are written as that, others as they are", () => {
	const info = Object.assign(sample(), { request: createRequestView({ path: "/?a=%C3%A9&b=%E9" }) });
	assert.equal(lineOf({ format: { kind: "text", text: "é %QUERY_PARAM(a)% %QUERY_PARAM(b)%" } }, info), "é é é");
});

test("a unique id is another each time", () => {
	const [first, second] = lineOf({ format: { kind: "text", text: "%UNIQUE_ID% %UNIQUE_ID%" } }).split(" ");
	assert.match(first ?? "", /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
	assert.notEqual(first, second);
});

test("JSON keeps types, sorts keys and writes null for what is missing", () => {
	const fields = { status: "%RESPONSE_CODE%", method: "%REQ(:METHOD)%", nested: { x: "%REQ(NO)%", text: "took %DURATION% ms" }, constant: 1 };
	assert.equal(lineOf({ format: { kind: "json", fields } }), '{"constant":1,"method":"GET","nested":{"text":"took 12 ms","x":null},"status":503}\n');
});

test("filters decide which streams are logged", () => {
	const text = { kind: "text", text: "x" } as const;
	for (const [filter, wanted] of [
		[{ kind: "status", op: "ge", value: 500 }, true],
		[{ kind: "status", op: "le", value: 499 }, false],
		[{ kind: "duration", op: "ge", value: 13 }, false],
		[{ kind: "responseFlag", flags: ["UF"] }, true],
		[{ kind: "responseFlag", flags: ["NR"] }, false],
		[{ kind: "responseFlag", flags: [] }, true],
		[{ kind: "or", filters: [{ kind: "status", op: "eq", value: 200 }, { kind: "notHealthCheck" }] }, true],
		[{ kind: "and", filters: [{ kind: "status", op: "eq", value: 200 }, { kind: "notHealthCheck" }] }, false],
		[{ kind: "header", header: { name: "user-agent", match: { kind: "present" }, invert: false, treatMissingAsEmpty: false } }, true],
	] as const) {
		assert.equal(lineOf({ format: text, filter }), wanted ? "x" : "", JSON.stringify(filter));
	}
});

test("a reset stream info is like a new one", () => {
	const info = sample();
	resetStreamInfo(info);
	assert.deepEqual(info, createStreamInfo(info.connection));
});

/** Writes wait until `finish` is called. */
function memoryFiles() {
	const written: string[] = [];
	const pending: (() => void)[] = [];
	let opened = 0;
	const files: LogFileSystem = {
		open: () => ++opened,
		write: (fd, data, done) => void pending.push(() => done(fd > 0 ? (written.push(`${fd}:${data.toString()}`), null) : new Error("no"))),
		close: (fd) => void written.push(`${fd} closed`),
	};
	return { files, written, finish: () => pending.splice(0).forEach((done) => done()) };
}

test("lines are written together, in order, and over a reopened file", async () => {
	const { files, written, finish } = memoryFiles();
	const log = createLogFile({ path: "/l", files, flushBytes: 64 });
	log.write("a\n");
	log.write("b\n");
	assert.deepEqual(written, []);
	log.flush();
	log.write(`${"c".repeat(70)}\n`);
	finish();
	log.reopen();
	finish();
	log.write("d\n");
	const closed = log.close();
	finish();
	await closed;
	assert.deepEqual(written, ["1:a\nb\n", `1:${"c".repeat(70)}\n`, "1 closed", "2:d\n", "2 closed"]);
	assert.equal(log.dropped, 0);
});

test("a disk that does not keep up costs lines, counted, not memory", () => {
	const { files, written, finish } = memoryFiles();
	const log = createLogFile({ path: "/l", files, flushBytes: 64, bufferBytesMax: 200 });
	for (let i = 0; i < 100; i++) log.write(`line number ${i}\n`);
	assert.ok(log.dropped > 50);
	finish();
	finish();
	const lines = written.join("").match(/line number/g)?.length ?? 0;
	assert.equal(lines + log.dropped, 100);
});
