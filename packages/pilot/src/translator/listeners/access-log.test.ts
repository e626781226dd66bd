import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { MeshConfig } from "@weft/api";
import { type Any, unpackAny } from "@weft/xds";
import { FileAccessLog } from "@weft/xds/generated/envoy/extensions/access_loggers/file/v3/file.ts";
import { mergeAccessLogging } from "../policy/telemetry.ts";
import { buildAccessLogs as build } from "./access-log.ts";

/** As a mesh without any Telemetry has them. */
const buildAccessLogs = (mesh: MeshConfig) =>
	build({ mesh, services: new Map(), plans: mergeAccessLogging([], mesh.defaultProviders?.accessLogging ?? [], "CLIENT") });

function logsOf(mesh: MeshConfig): readonly (FileAccessLog | undefined)[] {
	const typeName = "envoy.extensions.access_loggers.file.v3.FileAccessLog";
	return buildAccessLogs(mesh).traffic.map((log) => unpackAny(typeName, FileAccessLog, Reflect.get(log, "typedConfig") as Any));
}

describe("access logs", () => {
	it("are off where no file is named", () => assert.deepEqual(buildAccessLogs({}), { traffic: [], listener: [] }));

	it("are Istio's text where only a file is named", () => {
		const [log] = logsOf({ accessLogFile: "/dev/stdout" });
		assert.equal(log?.path, "/dev/stdout");
		assert.ok(log?.logFormat?.textFormatSource?.inlineString?.startsWith('[%START_TIME%] "%REQ(:METHOD)%'));
	});

	it("are in the user's text", () => {
		const [log] = logsOf({ accessLogFile: "/f", accessLogFormat: "%PROTOCOL%\n" });
		assert.equal(log?.logFormat?.textFormatSource?.inlineString, "%PROTOCOL%\n");
	});

	it("are in the user's JSON, or Istio's where that is no JSON object", () => {
		assert.deepEqual(logsOf({ accessLogFile: "/f", accessLogEncoding: "JSON", accessLogFormat: '{"a": "%DURATION%"}' })[0]?.logFormat?.jsonFormat, {
			a: "%DURATION%",
		});
		assert.ok(logsOf({ accessLogFile: "/f", accessLogEncoding: "JSON", accessLogFormat: "no" })[0]?.logFormat?.jsonFormat?.["response_code"]);
	});

	it("end each entry with a line break", () => {
		assert.equal(logsOf({ accessLogFile: "/f", accessLogFormat: "%PROTOCOL%" })[0]?.logFormat?.textFormatSource?.inlineString, "%PROTOCOL%\n");
	});

	it("go to the default providers where there are some, in the order of their names", () => {
		const logs = logsOf({
			accessLogFile: "/f",
			defaultProviders: { accessLogging: ["mine", "envoy"] },
			extensionProviders: [{ name: "mine", envoyFileAccessLog: { path: "/m", logFormat: { labels: { s: "%RESPONSE_CODE%" } } } }],
		});
		assert.deepEqual(
			logs.map((log) => log?.path),
			["/dev/stdout", "/m"],
		);
		assert.deepEqual(logs[1]?.logFormat?.jsonFormat, { s: "%RESPONSE_CODE%" });
	});

	it("leave the listener's own log out where the mesh says so", () => {
		assert.equal(buildAccessLogs({ accessLogFile: "/f" }).listener.length, 1);
		assert.equal(buildAccessLogs({ accessLogFile: "/f", disableEnvoyListenerLog: true }).listener.length, 0);
	});
});
