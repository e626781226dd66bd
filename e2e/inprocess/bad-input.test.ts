import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { closeConnections, type RunningWeft, runWeft, startTestMesh, startWeft, type TestMesh } from "@weft/testkit";
import { service, workload } from "./mesh-yaml.ts";

interface Case {
	readonly name: string;
	readonly yaml: string;
	/** What must be said, after `file:`: line, column, and the message with its fix. */
	readonly says: RegExp;
}

const virtualService = (body: string, name = "bad") => `apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: ${name}}\nspec:\n${body}`;

const refused: readonly Case[] = [
	{ name: "malformed YAML", yaml: "apiVersion: v1\nkind: Service\nmetadata: {name: bad\nspec: {}\n", says: /:[34]:\d+: error \[WEFT-V001\]/ },
	{ name: "a list where an object must be", yaml: "- just\n- a list\n", says: /:1:1: error .*(object|mapping|apiVersion)/ },
	{
		name: "an unknown kind",
		yaml: "apiVersion: networking.istio.io/v1\nkind: VirtualServise\nmetadata: {name: bad}\nspec: {}\n",
		says: /:\d:\d+: error \[WEFT-V002\].*VirtualServise.*VirtualService/,
	},
	{
		name: "an unknown field",
		yaml: virtualService("  hosts: [app]\n  htttp:\n  - route: [{destination: {host: app}}]\n"),
		says: /:6:3: error .*htttp.*"?http"?/,
	},
	{
		name: "a value of the wrong type",
		yaml: virtualService("  hosts: [app]\n  http:\n  - route: [{destination: {host: app}, weight: many}]\n"),
		says: /:7:\d+: error .*weight.*(integer|number)/,
	},
	{
		name: "a duration without a unit",
		yaml: virtualService("  hosts: [app]\n  http:\n  - timeout: 5\n    route: [{destination: {host: app}}]\n"),
		says: /:7:\d+: error .*timeout/,
	},
	{
		name: "a required field that is missing",
		yaml: virtualService("  hosts: [app]\n  http:\n  - route: [{destination: {subset: v1}}]\n"),
		says: /:7:\d+: error .*host/,
	},
	{
		name: "a rule of Istio's: weights all zero",
		yaml: virtualService("  hosts: [app]\n  http:\n  - route: [{destination: {host: app}, weight: 0}, {destination: {host: other}, weight: 0}]\n"),
		says: /:7:\d+: error .*weight/,
	},
	{
		name: "a rule of Istio's: route and redirect at once",
		yaml: virtualService("  hosts: [app]\n  http:\n  - redirect: {uri: /x}\n    route: [{destination: {host: app}}]\n"),
		says: /:\d+:\d+: error .*redirect/,
	},
	{
		name: "an invalid regular expression",
		yaml: virtualService("  hosts: [app]\n  http:\n  - match: [{uri: {regex: '(['}}]\n    route: [{destination: {host: app}}]\n"),
		says: /:7:\d+: error .*(regular expression|regex)/,
	},
];

const warned: readonly Case[] = [
	{
		name: "a host that is not there",
		yaml: virtualService("  hosts: [app]\n  http:\n  - route: [{destination: {host: nobody}}]\n"),
		says: /:7:\d+: warning \[IST0101\].*nobody/,
	},
	{
		name: "a subset that is not there yet",
		yaml: virtualService("  hosts: [app]\n  http:\n  - route: [{destination: {host: app, subset: v9}}]\n"),
		says: /:7:\d+: warning \[IST0101\].*v9/,
	},
	{
		name: "weights that are not 100 together",
		yaml: virtualService("  hosts: [app]\n  http:\n  - route: [{destination: {host: app}, weight: 3}, {destination: {host: other}, weight: 4}]\n"),
		says: /:7:\d+: warning .*7/,
	},
	{
		name: "a second VirtualService for the host",
		yaml: virtualService("  hosts: [app]\n  http:\n  - directResponse: {status: 418}\n", "younger"),
		says: /:\d+:\d+: warning \[IST0109\].*app/,
	},
];

const good = virtualService("  hosts: [app]\n  http:\n  - headers: {response: {set: {x-route: good}}}\n    route: [{destination: {host: app}}]\n", "app");

let folder: string;
let mesh: TestMesh;
let state: readonly string[];

before(async () => {
	folder = mkdtempSync(join(tmpdir(), "weft-bad-"));
	const http = [{ name: "http", port: 8000 }];
	mesh = await startTestMesh({
		yaml: `${workload({ name: "app", app: "http-app.ts", ports: [8000] })}${service("app", http)}${service("other", http, { app: "app" })}${good}`,
	});
	state = ["--state-dir", mesh.paths.root];
});

after(async () => {
	await mesh?.stop();
	closeConnections();
	rmSync(folder, { recursive: true, force: true });
});

function put(name: string, text: string): string {
	const file = join(folder, name);
	writeFileSync(file, text);
	return file;
}

/** Everything that is applied, by file. */
function applied(): readonly (readonly [string, string])[] {
	return readdirSync(mesh.paths.config).map((file) => [file, readFileSync(join(mesh.paths.config, file), "utf8")]);
}

async function assertStillGood(): Promise<void> {
	const answer = await mesh.call("app", "/");
	assert.deepEqual([answer.status, answer.headers["x-route"]], [200, "good"]);
}

function quoted(text: string): string {
	return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}

for (const { name, yaml, says } of refused) {
	test(`apply refuses ${name}: exit status 1, file:line:column and the fix, nothing changed`, async () => {
		const file = put("bad.yaml", yaml);
		const before = applied();
		const { status, stdout, stderr } = await runWeft(["apply", "-f", file, ...state]);
		assert.equal(status, 1, stderr);
		assert.match(stderr, new RegExp(`^${quoted(file)}${says.source}`, "m"));
		assert.equal(stdout, "");
		assert.deepEqual(applied(), before);
		await assertStillGood();
	});
}

test("one bad object among good ones: none of them is applied", async () => {
	const file = put("mixed.yaml", `${virtualService("  hosts: [other]\n  http:\n  - directResponse: {status: 418}\n", "fine")}---\n${refused[3]?.yaml}`);
	const { status, stderr } = await runWeft(["apply", "-f", file, ...state]);
	assert.equal(status, 1);
	assert.match(stderr, /nothing was applied/);
	assert.ok(!applied().some(([name]) => name.includes("fine")));
});

test("all problems of a file are told at once", async () => {
	const several = refused.slice(2, 6);
	const { stderr } = await runWeft(["apply", "-f", put("several.yaml", several.map((c) => c.yaml).join("---\n")), ...state]);
	const errors = stderr.split("\n").filter((line) => line.includes(": error "));
	for (const word of ["VirtualServise", "htttp", "many", "timeout"])
		assert.ok(
			errors.some((line) => line.includes(word)),
			`${word} is not among ${stderr}`,
		);
});

for (const { name, yaml, says } of warned) {
	test(`apply takes ${name}, with a warning: exit status 0`, async () => {
		const file = put("odd.yaml", yaml);
		const { status, stdout, stderr } = await runWeft(["apply", "-f", file, ...state]);
		assert.equal(status, 0, stderr);
		assert.match(stderr, new RegExp(`^${quoted(file)}${says.source}`, "m"));
		assert.match(stdout, /virtualservice\/(bad|younger) created/);
		// The older one goes on: nothing that is there already is disturbed.
		await assertStillGood();
		await mesh.client.remove("VirtualService", "default", /name: (\w+)/.exec(yaml)?.[1] ?? "", true);
	});
}

test("--dry-run tells the same and applies nothing", async () => {
	const before = applied();
	const bad = await runWeft(["apply", "--dry-run", "-f", put("bad.yaml", refused[3]?.yaml ?? ""), ...state]);
	assert.equal(bad.status, 1);
	assert.match(bad.stderr, refused[3]?.says ?? /$^/);
	const fine = await runWeft([
		"apply",
		"--dry-run",
		"-f",
		put("fine.yaml", virtualService("  hosts: [other]\n  http:\n  - directResponse: {status: 418}\n", "fine")),
		...state,
	]);
	assert.equal(fine.status, 0, fine.stderr);
	assert.deepEqual(applied(), before);
});

test("a watched directory gives the same verdicts in the same words", async () => {
	const files = join(folder, "watched");
	mkdirSync(files);
	const base = `${service("app", [{ name: "http", port: 8000 }])}${service("other", [{ name: "http", port: 8000 }])}${good}`;
	writeFileSync(join(files, "a-base.yaml"), base);
	const weft = startWeft(["control-plane", "--files", files, "--http", "127.0.0.1:0"]);
	try {
		await assertVerdicts(weft, files);
	} finally {
		await weft.stop();
	}
});

interface Found {
	readonly file?: string;
	readonly line?: number;
	readonly column?: number;
	readonly severity: string;
	readonly code: string;
	readonly message: string;
	readonly path: string;
}

async function assertVerdicts(weft: RunningWeft, files: string): Promise<void> {
	const [, ready] = await weft.logged(/control plane ready\t(.*)/);
	const http = /http=(\S+)/.exec(ready ?? "")?.[1] ?? "";
	const bad = join(files, "bad.yaml");
	for (const { name, yaml } of [...refused, ...warned]) {
		writeFileSync(join(folder, "staged"), yaml);
		renameSync(join(folder, "staged"), bad);
		const wanted = (await mesh.client.apply([{ file: bad, text: yaml }], { wait: false, dryRun: true, timeoutMs: 0 })).diagnostics.map(wordsOf).sort();
		assert.ok(wanted.length > 0);
		let seen: readonly string[] = [];
		for (let i = 0; i < 150 && JSON.stringify(seen) !== JSON.stringify(wanted); i++) {
			await sleep(20);
			const all = (await (await fetch(`http://${http}/debug/diagnostics`)).json()) as readonly Found[];
			seen = all
				.filter((d) => d.file === bad)
				.map(wordsOf)
				.sort();
		}
		assert.deepEqual(seen, wanted, name);
	}
}

function wordsOf({ line, column, severity, code, path, message }: Found): string {
	return `${line}:${column} ${severity} ${code} ${path} ${message}`;
}

test("up with an image that no process is known for: exit status 1, the place and the fix, nothing is started", async () => {
	const file = put(
		"unmapped.yaml",
		"apiVersion: v1\nkind: Pod\nmetadata: {name: lonely}\nspec: {containers: [{name: app, image: registry.example/unknown:1.0}]}\n",
	);
	const directory = join(folder, "unmapped");
	const { status, stderr } = await runWeft(["up", "-f", file, "--state-dir", directory]);
	assert.equal(status, 1);
	assert.match(stderr, new RegExp(`^${quoted(file)}:1:1: error .*"registry\\.example/unknown:1\\.0".*weft\\.local\\.yaml.*weft\\.dev/command`, "m"));
	assert.match(stderr, /nothing was started/);
});

test("up with malformed configuration: exit status 1, every problem, nothing is started", async () => {
	const file = put("bad-up.yaml", refused[3]?.yaml ?? "");
	const { status, stderr } = await runWeft(["up", "-f", file, "--state-dir", join(folder, "bad-up")]);
	assert.equal(status, 1);
	assert.match(stderr, new RegExp(`^${quoted(file)}:6:3: error .*htttp`, "m"));
});

test("up with a broken weft.local.yaml names the file and what it expects", async () => {
	const pod = put("pod.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: lonely}\nspec: {containers: [{name: app, image: x/y}]}\n");
	for (const [text, wanted] of [
		["images: [x/y]", /expected "images:"|command/],
		["images: {x/y: {command: node app.mjs}}", /images\["x\/y"\]\.command: expected a list of strings/],
		["images: {x/y: {command: [node", /(line \d|:\d+:\d+)/],
		["just text", /expected "images:"/],
	] as const) {
		const images = put("images.local.yaml", text);
		const { status, stderr } = await runWeft(["up", "-f", pod, "--images", images, "--state-dir", join(folder, "broken")]);
		assert.equal(status, 1, stderr);
		assert.match(stderr, new RegExp(quoted(images)));
		assert.match(stderr, wanted);
		assert.doesNotMatch(stderr, /\n\s+at /, "a message, not a stack");
	}
});

test("up with a MeshConfig that is not there or not valid names the file and the place", async () => {
	const file = put("fine.yaml", good);
	const missing = await runWeft(["up", "-f", file, "--mesh-config", join(folder, "no-mesh.yaml"), "--state-dir", join(folder, "mesh-config")]);
	assert.equal(missing.status, 1);
	assert.match(missing.stderr, /no-mesh\.yaml: cannot be read/);
	const wrong = put("mesh.yaml", "accessLogFile: /dev/stdout\naccessLogEncoding: XML\n");
	const { status, stderr } = await runWeft(["up", "-f", file, "--mesh-config", wrong, "--state-dir", join(folder, "mesh-config")]);
	assert.equal(status, 1);
	assert.match(stderr, new RegExp(`^${quoted(wrong)}:2:20: error .*accessLogEncoding`, "m"));
	for (const text of [missing.stderr, stderr]) assert.doesNotMatch(text, /\n\s+at /, "a message, not a stack");
});

test("up beside a mesh that runs with the same state is refused, and does it no harm", async () => {
	const { status, stderr } = await runWeft(["up", "-f", put("fine.yaml", good), ...state]);
	assert.equal(status, 1);
	assert.match(stderr, /running already \(pid \d+\).*weft down/);
	await assertStillGood();
});

test("control-plane on a port in use is refused with its address", async () => {
	const blocker = createServer();
	await new Promise<void>((resolve) => blocker.listen(0, "127.0.0.1", resolve));
	const { port } = blocker.address() as { port: number };
	const { status, stderr } = await runWeft(["control-plane", "--files", folder, "--http", `127.0.0.1:${port}`]);
	blocker.close();
	assert.equal(status, 1);
	assert.match(stderr, new RegExp(`127\\.0\\.0\\.1:${port}`));
});

test("files that are not there, and meshes that are not running, are named", async () => {
	const missing = await runWeft(["apply", "-f", join(folder, "nowhere.yaml"), ...state]);
	assert.deepEqual([missing.status, missing.stderr.includes("nowhere.yaml: no such file or directory")], [1, true]);
	const none = await runWeft(["apply", "-f", put("fine.yaml", good), "--state-dir", join(folder, "no-mesh")]);
	assert.equal(none.status, 1);
	assert.match(none.stderr, /no mesh is running.*weft up/);
});
