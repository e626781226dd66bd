import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { decodeBootstrap } from "../config/bootstrap/decode-bootstrap.ts";
import { loadBootstrap } from "../config/bootstrap/load.ts";
import { registerImplemented } from "../config/decode/index.ts";
import { findRefusals } from "./find-refusals.ts";

before(registerImplemented);

const typed = (name: string, type: string, config: object) => ({ name, typed_config: { "@type": `type.googleapis.com/envoy.extensions.${type}`, ...config } });
const stdout = (format: string) => typed("log", "access_loggers.stream.v3.StdoutAccessLog", { log_format: { text_format_source: { inline_string: format } } });
const chain = (manager: object = {}, match?: object) => ({
	filters: [
		typed("http", "filters.network.http_connection_manager.v3.HttpConnectionManager", {
			stat_prefix: "s",
			http_filters: [typed("router", "filters.http.router.v3.Router", {})],
			route_config: { virtual_hosts: [{ name: "v", domains: ["*"], routes: [{ match: { prefix: "/" }, route: { cluster: "a" } }] }] },
			...manager,
		}),
	],
	...(match && { filter_chain_match: match }),
});

function bootstrapOf(...filter_chains: readonly object[]): string {
	const listener = { name: "l", address: { socket_address: { address: "192.0.2.1", port_value: 80 } }, filter_chains };
	return JSON.stringify({ static_resources: { listeners: [listener], clusters: [{ name: "a", type: "STRICT_DNS", connect_timeout: "1s" }] } });
}

async function refusalsOf(...filterChains: readonly object[]) {
	const { bootstrap, errors } = loadBootstrap([{ name: "b.json", text: bootstrapOf(...filterChains) }], { strict: true });
	assert.ok(bootstrap, errors.join());
	const { value, errors: refused } = decodeBootstrap(bootstrap, { readFile: () => Buffer.alloc(0), variable: () => undefined });
	assert.ok(value, refused.join());
	return findRefusals(value);
}

describe("a configuration that is checked and not served", () => {
	it("binds no address, not even one of another machine", async () => {
		assert.deepEqual(await refusalsOf(chain({ access_log: [stdout("%PROTOCOL%\n")] })), []);
	});

	const refused = [
		["an operator that does not exist", [chain({ access_log: [stdout("%NO_SUCH%")] })], "%NO_SUCH% is not a known format operator"],
		["a range that is none", [chain({}, { prefix_ranges: [{ address_prefix: "x", prefix_len: 8 }] })], 'filter chain "": "x/8" is not an address range'],
		[
			"a log file that cannot be opened",
			[chain({ access_log: [typed("f", "access_loggers.file.v3.FileAccessLog", { path: "/no/such/folder/log" })] })],
			/ENOENT/,
		],
		["two chains for the same connections", [chain({}, { server_names: ["a"] }), chain({}, { server_names: ["a"] })], /filter chain/],
	] as const;
	for (const [name, chains, message] of refused) {
		it(`is refused for ${name}, as a worker would refuse it`, async () => {
			const [refusal, ...others] = await refusalsOf(...chains);
			assert.deepEqual([refusal?.resource, others], ["l", []]);
			if (typeof message === "string") assert.equal(refusal?.message, message);
			else assert.match(refusal?.message ?? "", message);
		});
	}

	it("ends with 1 and says so, as --mode validate", () => {
		const validate = (config: string) => {
			const args = [fileURLToPath(new URL("../main.ts", import.meta.url)), "--mode", "validate", "--config-yaml", config];
			const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: "utf8" });
			return { status, stdout, stderr };
		};
		assert.deepEqual(validate(bootstrapOf(chain())), { status: 0, stdout: "configuration '--config-yaml' OK\n", stderr: "" });
		assert.deepEqual(validate(bootstrapOf(chain({ access_log: [stdout("%NO_SUCH%")] }))), {
			status: 1,
			stdout: "",
			stderr: "weft-proxy: error: --config-yaml: l: %NO_SUCH% is not a known format operator\n",
		});
	});
});
