import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { buildCaptureRules } from "./build-rules.ts";
import { decodeCaptureConfig, type Machine } from "./decode-config.ts";
import { parseIptablesFlags } from "./flags.ts";

const machine: Machine = { nameservers: () => ["10.96.0.10", "fd00::a"], isIPv6Pod: false, uidOf: () => undefined };

function decode(args: readonly string[], variables: Readonly<Record<string, string>> = {}, on: Machine = machine) {
	const parsed = parseIptablesFlags(args, variables);
	assert.equal(parsed.kind, "values", parsed.kind === "error" ? parsed.message : "");
	if (parsed.kind !== "values") throw new Error("unreachable");
	return decodeCaptureConfig(parsed.values, variables, on);
}

function v4Rules(args: readonly string[], variables: Readonly<Record<string, string>> = {}): readonly string[] {
	const { config, errors } = decode(args, variables);
	assert.deepEqual(errors, []);
	return buildCaptureRules(config).v4.map(({ table, words }) => `${table} ${words.join(" ")}`);
}

suite("flags", () => {
	for (const [name, args, variables, field, value] of [
		["a short flag", ["-p", "15101"], {}, "proxyPort", "15101"],
		["a short flag with its value attached", ["-p15101"], {}, "proxyPort", "15101"],
		["a long flag", ["--envoy-port=15101"], {}, "proxyPort", "15101"],
		["a variable", [], { INBOUND_CAPTURE_PORT: "15101" }, "inboundCapturePort", "15101"],
		["a flag over a variable", ["-z", "15102"], { INBOUND_CAPTURE_PORT: "15101" }, "inboundCapturePort", "15102"],
		["no variable stands for -p", [], { ENVOY_PORT: "15101" }, "proxyPort", "15001"],
		["the other name of a variable counts", [], { REDIRECT_DNS: "true", ISTIO_META_DNS_CAPTURE: "false" }, "dns", { kind: "off" }],
		["a switch in a variable that is neither true nor false", [], { INVALID_DROP: "yes" }, "dropInvalid", false],
		["a mark in base 16", ["-t", "0x539"], {}, "tproxyMark", "0x539"],
		["an empty list", ["-b", ""], {}, "inboundPorts", { kind: "only", ports: [] }],
		["a list with blanks and empty entries", ["-b", "80, 443,,"], {}, "inboundPorts", { kind: "only", ports: ["80", "443"] }],
		["all ports", ["-b", "*"], {}, "inboundPorts", { kind: "all" }],
		["ranges of both families", ["-i", "10.0.0.0/8,FD00::/8"], {}, "outboundRanges", { kind: "only", v4: ["10.0.0.0/8"], v6: ["fd00::/8"] }],
		["groups follow users", ["-u", "1,2"], {}, "proxyGids", ["1", "2"]],
		["groups of their own", ["-u", "1", "-g", "3"], {}, "proxyGids", ["3"]],
		["a switch with a value", ["--drop-invalid=false"], { INVALID_DROP: "true" }, "dropInvalid", false],
		["Istio's variable for DNS", [], { ISTIO_META_DNS_CAPTURE: "true" }, "dns", { kind: "servers", v4: ["10.96.0.10"], v6: ["fd00::a"] }],
		["all DNS", ["--redirect-dns", "--capture-all-dns"], {}, "dns", { kind: "all" }],
		["only some owner groups", [], { ISTIO_OUTBOUND_OWNER_GROUPS: "java,202" }, "ownerGroups", { kind: "only", groups: ["java", "202"] }],
		[
			"excluded groups are read with all groups only",
			[],
			{ ISTIO_OUTBOUND_OWNER_GROUPS: "1", ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE: "2" },
			"ownerGroups",
			{ kind: "only", groups: ["1"] },
		],
		["no owner groups at all", [], { ISTIO_OUTBOUND_OWNER_GROUPS: "" }, "ownerGroups", { kind: "only", groups: [] }],
	] as const) {
		test(name, () => {
			const { config, errors } = decode(args, variables);
			assert.deepEqual(errors, []);
			assert.deepEqual(config[field], value);
		});
	}
	for (const [args, message] of [
		[["--unknown"], /unknown flag: --unknown/],
		[["--constructor", "x"], /unknown flag: --constructor/],
		[["-y"], /unknown flag: -y/],
		[["positional"], /unexpected argument "positional"/],
		[["-p"], /needs an argument: -p/],
		[["--dual-stack=maybe"], /invalid value "maybe" for --dual-stack/],
	] as const) {
		test(`refuses ${args.join(" ")}`, () => {
			const parsed = parseIptablesFlags(args, {});
			assert.equal(parsed.kind, "error");
			if (parsed.kind === "error") assert.match(parsed.message, message);
		});
	}
});

suite("nothing is touched with a bad value", () => {
	for (const [args, variables, message] of [
		[["-p", "70000"], {}, /--envoy-port: "70000" is no port/],
		[["-d", "80,-j"], {}, /--istio-local-exclude-ports: "-j" is no port/],
		[["-o", "90:80"], {}, /--istio-local-outbound-ports-exclude: "90:80"/],
		[["-i", "10.0.0.0/99"], {}, /--istio-service-cidr: "10.0.0.0\/99" is no IP range/],
		[["-x", "*"], {}, /--istio-service-exclude-cidr: "\*"/],
		[["-x", "10.0.0.1"], {}, /--istio-service-exclude-cidr/],
		[["-u", "root"], {}, /--proxy-uid: "root" is no numeric id/],
		[["-m", "NONE"], {}, /neither REDIRECT nor TPROXY/],
		[["-k", "eth0 -j ACCEPT"], {}, /--kube-virt-interfaces/],
		[["-c", "--help"], {}, /--istio-exclude-interfaces/],
		[["-t", "x"], {}, /--istio-inbound-tproxy-mark/],
		[["-i", "10.0.0.0/8, 172.16.0.0/12"], {}, /--istio-service-cidr: " 172.16.0.0\/12" is no IP range/],
		[["-i="], {}, /--istio-service-cidr: "="/],
		[[], { ISTIO_OUTBOUND_OWNER_GROUPS: Array.from({ length: 65 }, (_, i) => i).join(",") }, /65 owner groups are given/],
		[[], { ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR: "127.0.0.0/7" }, /no loopback range/],
		[[], { ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR: "10.0.0.0/8" }, /no loopback range/],
	] as const) {
		test(`${args.join(" ")} ${JSON.stringify(variables)}`, () => assert.match(decode(args, variables).errors.join("\n"), message));
	}
	test("an unreadable resolv.conf", () => {
		const broken: Machine = {
			...machine,
			nameservers: () => {
				throw new Error("no such file");
			},
		};
		assert.match(decode(["--redirect-dns"], {}, broken).errors.join(), /failed to load \/etc\/resolv.conf: no such file/);
	});
	test("no nameserver: DNS stays as it is, with a warning", () => {
		const { config, warnings } = decode(["--redirect-dns"], {}, { ...machine, nameservers: () => [] });
		assert.deepEqual(config.dns, { kind: "off" });
		assert.equal(warnings.length, 1);
	});
});

suite("rules beyond the golden corpus", () => {
	test("a captured loopback range leaves connections within the pod captured", () => {
		const rules = v4Rules(["-i", "127.0.0.0/8"]);
		assert.equal(rules.filter((rule) => rule.includes("-o lo -m owner ! --uid-owner")).length, 0);
		assert.ok(rules.includes("nat -A ISTIO_OUTPUT -d 127.0.0.0/8 -j ISTIO_REDIRECT"));
	});
	test("excluded interfaces come first, in both tables with TPROXY", () => {
		assert.deepEqual(v4Rules(["-c", "eth1", "-m", "TPROXY", "-b", "*"]).slice(0, 4), [
			"nat -A PREROUTING -i eth1 -j RETURN",
			"nat -A OUTPUT -o eth1 -j RETURN",
			"mangle -A PREROUTING -i eth1 -j RETURN",
			"mangle -A OUTPUT -o eth1 -j RETURN",
		]);
	});
	test("only some groups are captured", () => {
		const rules = v4Rules(["-i", "*"], { ISTIO_OUTBOUND_OWNER_GROUPS: "java,202" });
		assert.ok(rules.includes("nat -A ISTIO_OUTPUT -m owner ! --gid-owner java -m owner ! --gid-owner 202 -j RETURN"));
	});
	test("DNS of the servers only", () => {
		const rules = v4Rules(["-i", "*", "--redirect-dns"]);
		assert.ok(rules.includes("nat -A ISTIO_OUTPUT_DNS -p udp --dport 53 -d 10.96.0.10/32 -j REDIRECT --to-port 15053"));
		assert.ok(rules.includes("raw -A ISTIO_INBOUND -p udp --sport 53 -s 10.96.0.10/32 -j CT --zone 1"));
		assert.ok(!rules.some((rule) => rule.includes("fd00")));
	});
	test("reroute interfaces with ranges", () => {
		const rules = v4Rules(["-i", "10.0.0.0/8", "-k", "tap0"]);
		assert.ok(rules.includes("nat -I PREROUTING 1 -i tap0 -d 10.0.0.0/8 -j ISTIO_REDIRECT"));
	});
});
