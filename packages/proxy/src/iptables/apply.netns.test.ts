import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { after, before, suite, test } from "node:test";
import path from "node:path";

// The real programs, in a network namespace of the test's own.

const namespace = `weft-ipt-${process.pid}`;
const run = (program: string, args: readonly string[]) => spawnSync(program, args, { encoding: "utf8", timeout: 60_000 });
const inside = (program: string, ...args: string[]) => run("ip", ["netns", "exec", namespace, program, ...args]);
const main = path.resolve(import.meta.dirname, "../main.ts");
const iptables = (...args: string[]) => inside(process.execPath, main, "iptables", "--log_output_level=error", ...args);
const captureAll = ["-u", "1337", "-b", "*", "-i", "*", "-d", "15090,15021,15020"];

function reasonToSkip(): string | false {
	if (process.platform !== "linux" || process.getuid?.() !== 0) return "needs root on Linux: sudo npm test -- packages/proxy/src/iptables/apply.netns.test.ts";
	for (const program of ["ip", "iptables-save", "ip6tables-save"]) if (run(program, ["-V"]).error) return `needs ${program}: apt-get install iptables iproute2`;
	const made = run("ip", ["netns", "add", namespace]);
	if (made.status !== 0) return `cannot make a network namespace: ${made.stderr.trim()}`;
	const works = inside("iptables", "-t", "nat", "-S").status === 0;
	run("ip", ["netns", "del", namespace]);
	return works ? false : "iptables does not work in a network namespace here: modprobe ip_tables nf_tables";
}

/** Rules of one family, without counters, comments and the built-in chains' policies. */
function saved(program = "iptables-save"): readonly string[] {
	return inside(program)
		.stdout.split("\n")
		.filter((line) => line.startsWith("-A ") || line.startsWith(":ISTIO"));
}

const skip = reasonToSkip();

suite("iptables rules in a network namespace", { skip }, () => {
	before(() => {
		if (skip) return;
		run("ip", ["netns", "add", namespace]);
		inside("ip", "link", "set", "lo", "up");
	});
	after(() => {
		if (!skip) run("ip", ["netns", "del", namespace]);
	});

	test("are applied, stay with a second run, and are removed", () => {
		const first = iptables(...captureAll, "--dual-stack", "-k", "tap0", "--redirect-dns", "--capture-all-dns");
		assert.equal(first.status, 0, first.stderr);
		const [v4, v6] = [saved(), saved("ip6tables-save")];
		assert.ok(v4.includes("-A ISTIO_IN_REDIRECT -p tcp -j REDIRECT --to-ports 15006"), v4.join("\n"));
		assert.ok(v6.includes("-A ISTIO_OUTPUT -s ::6/128 -o lo -j RETURN"), v6.join("\n"));
		assert.match(inside("ip", "-6", "addr", "show", "dev", "lo").stdout, /inet6 ::6\/128/);
		const second = iptables(...captureAll, "--dual-stack", "-k", "tap0", "--redirect-dns", "--capture-all-dns");
		assert.equal(second.status, 0, second.stderr);
		assert.deepEqual([saved(), saved("ip6tables-save")], [v4, v6]);
		const cleanup = iptables(...captureAll, "--dual-stack", "-k", "tap0", "--redirect-dns", "--capture-all-dns", "--cleanup-only");
		assert.equal(cleanup.status, 0, cleanup.stderr);
		assert.deepEqual([saved(), saved("ip6tables-save")], [[], []]);
	});

	test("of another configuration are refused, and replaced with --reconcile; others' rules stay", () => {
		inside("iptables", "-t", "nat", "-A", "OUTPUT", "-p", "udp", "--dport", "9999", "-j", "ACCEPT");
		assert.equal(iptables(...captureAll).status, 0);
		const before = saved();
		const refused = iptables(...captureAll, "-o", "3306");
		assert.equal(refused.status, 1);
		assert.match(refused.stderr, /rules of another configuration are in place .*--reconcile/);
		assert.deepEqual(saved(), before);
		const replaced = iptables(...captureAll, "-o", "3306", "--reconcile");
		assert.equal(replaced.status, 0, replaced.stderr);
		assert.ok(saved().includes("-A ISTIO_OUTPUT -p tcp -m tcp --dport 3306 -j RETURN"));
		assert.equal(saved().filter((line) => line === "-A OUTPUT -j ISTIO_OUTPUT").length, 1);
		assert.equal(iptables(...captureAll, "--cleanup-only").status, 0);
		assert.deepEqual(saved(), ["-A OUTPUT -p udp -m udp --dport 9999 -j ACCEPT"]);
		inside("iptables", "-t", "nat", "-D", "OUTPUT", "-p", "udp", "--dport", "9999", "-j", "ACCEPT");
	});

	test("TPROXY sets up its route and removes it", () => {
		const args = [...captureAll, "-m", "TPROXY"];
		for (const round of [1, 2]) {
			const { status, stderr } = iptables(...args);
			assert.equal(status, 0, `round ${round}: ${stderr}`);
		}
		assert.equal(inside("ip", "rule", "show", "fwmark", "1337").stdout.trim().split("\n").length, 1);
		assert.match(inside("ip", "route", "show", "table", "133").stdout, /local default dev lo/);
		assert.equal(iptables(...args, "--cleanup-only").status, 0);
		assert.deepEqual(saved(), []);
		assert.equal(inside("ip", "rule", "show", "fwmark", "1337").stdout.trim(), "");
	});

	test("the check passes where traffic is captured, and only there", {
		skip: run("setpriv", ["--version"]).error ? "needs setpriv: apt-get install util-linux" : false,
	}, () => {
		inside("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "far0");
		inside("ip", "link", "set", "far0", "up");
		inside("ip", "addr", "add", "10.99.0.1/24", "dev", "eth0");
		inside("ip", "link", "set", "eth0", "up");
		const check = () =>
			inside(
				"setpriv",
				"--reuid=1337",
				"--regid=1337",
				"--clear-groups",
				process.execPath,
				main,
				"iptables",
				...captureAll,
				"--run-validation",
				"--skip-rule-apply",
				"--probe-timeout",
				"2s",
			);
		const before = check();
		assert.equal(before.status, 126, before.stderr);
		assert.match(before.stderr, /traffic is not captured: a connection to 10\.99\.0\.1:15002 did not come to port 15006/);
		assert.equal(iptables(...captureAll).status, 0);
		const after = check();
		assert.equal(after.status, 0, after.stderr);
		assert.equal(iptables(...captureAll, "--cleanup-only").status, 0);
	});

	test("a bad value changes nothing", () => {
		const { status, stderr } = iptables(...captureAll, "-x", "10.0.0.0/99");
		assert.equal(status, 1);
		assert.match(stderr, /--istio-service-exclude-cidr: "10.0.0.0\/99" is no IP range/);
		assert.deepEqual(saved(), []);
	});
});
