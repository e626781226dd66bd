// `npm run demo`: Bookinfo in a mesh on this machine, and a canary from 100 % v1 over 90/10 and 50/50 to 100 % v3.
// Everything it does is a `weft` command that it prints. With --check it verifies the story and exits 0 or 1.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { Agent, get } from "node:http";
import { join } from "node:path";
import { parseArgs, styleText } from "node:util";

const root = join(import.meta.dirname, "..");
const { values: flags } = parseArgs({
	options: {
		check: { type: "boolean", default: false },
		"installed-ms": { type: "string", default: "0" },
		"started-ms": { type: "string", default: String(Date.now()) },
	},
});
const stateDir = join(root, ".weft", "demo");
const networking = "examples/bookinfo/networking";
const agent = new Agent({ keepAlive: true, maxSockets: 16 });

interface Status {
	readonly services: readonly { readonly service: string; readonly address: string }[];
}

/** Runs a weft command and shows it; rejects when it fails. */
async function weft(...args: string[]): Promise<void> {
	console.log(styleText("cyan", `\n$ weft ${args.join(" ")}`));
	await command(args, "inherit");
}

async function command(args: readonly string[], stdout: "inherit" | "pipe"): Promise<string> {
	const child = spawn(process.execPath, ["packages/cli/bin/weft.mjs", ...args, "--state-dir", stateDir], { cwd: root, stdio: ["ignore", stdout, "inherit"] });
	let text = "";
	child.stdout?.on("data", (chunk: Buffer) => {
		text += chunk.toString();
	});
	const [status] = (await once(child, "exit")) as [number | null];
	if (status !== 0) throw new Error(`weft ${args[0]} failed with exit status ${status}`);
	return text;
}

function request(address: string, path: string): Promise<{ readonly status: number; readonly body: string }> {
	return new Promise((resolve, reject) => {
		const call = get(`http://${address}${path}`, { agent, timeout: 10_000 }, (response) => {
			const chunks: Buffer[] = [];
			response.on("data", (chunk: Buffer) => chunks.push(chunk));
			response.on("error", reject);
			response.on("end", () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() }));
		});
		call.on("timeout", () => call.destroy(new Error("no answer within 10 s")));
		call.on("error", reject);
	});
}

interface Split {
	readonly shares: Readonly<Record<string, number>>;
	readonly requests: number;
	readonly failed: number;
}

/** Asks productpage for reviews, `requests` times with 16 at once, and counts which version of reviews answered. */
async function measure(address: string, requests: number): Promise<Split> {
	const counts: Record<string, number> = { v1: 0, v2: 0, v3: 0 };
	let sent = 0;
	let failed = 0;
	const worker = async () => {
		while (sent < requests) {
			sent++;
			const { status, body } = await request(address, "/api/v1/products/0/reviews");
			const version = /"podname":\s*"reviews-(v\d)/.exec(body)?.[1];
			if (status !== 200 || version === undefined) failed++;
			else counts[version] = (counts[version] ?? 0) + 1;
		}
	};
	await Promise.all(Array.from({ length: 16 }, worker));
	const answered = requests - failed;
	return { requests, failed, shares: Object.fromEntries(Object.entries(counts).map(([v, n]) => [v, (100 * n) / Math.max(1, answered)])) };
}

const percent = (n: number) => `${n.toFixed(1).padStart(5)} %`;
let wrong = 0;

async function expect(address: string, what: string, wanted: Readonly<Record<string, number>>, requests: number): Promise<void> {
	const { shares, failed } = await measure(address, requests);
	// Four points are more than four standard deviations of the splits below, so chance does not decide.
	const off = Object.keys(shares).some((v) => Math.abs((shares[v] ?? 0) - (wanted[v] ?? 0)) > ((wanted[v] ?? 0) % 100 === 0 ? 0 : 4));
	const good = failed === 0 && !off;
	if (!good) wrong++;
	const cells = Object.keys(shares).map((v) => `${v} ${percent(shares[v] ?? 0)} (wanted ${percent(wanted[v] ?? 0)})`);
	console.log(`${good ? styleText("green", "✔") : styleText("red", "✘")} ${what}: ${cells.join("   ")}   ${requests} requests, ${failed} failed`);
}

async function story(): Promise<string> {
	const upStarted = Date.now();
	await weft(
		"up",
		"-f",
		"examples/bookinfo/bookinfo.yaml",
		"-f",
		`${networking}/destination-rule-all.yaml`,
		"-f",
		`${networking}/virtual-service-all-v1.yaml`,
		"--detach",
	);
	const status = JSON.parse(await command(["status", "-o", "json"], "pipe")) as Status;
	const address = status.services.find((s) => s.service.startsWith("productpage."))?.address;
	if (address === undefined) throw new Error("productpage has no address");
	await expect(address, "all v1", { v1: 100 }, 200);
	await weft("apply", "-f", `${networking}/virtual-service-reviews-90-10.yaml`);
	const canaryMs = Date.now();
	await expect(address, "90/10", { v1: 90, v2: 10 }, 2000);
	const total = (canaryMs - Number(flags["started-ms"])) / 1000;
	console.log(
		`  first canary ${total.toFixed(1)} s after the start, of which the mesh itself took ${((canaryMs - upStarted) / 1000).toFixed(1)} s (and installing packages ${(Number(flags["installed-ms"]) / 1000).toFixed(1)} s)`,
	);
	await weft("apply", "-f", `${networking}/virtual-service-reviews-50-v3.yaml`);
	await expect(address, "50/50", { v1: 50, v3: 50 }, 3000);
	await weft("apply", "-f", `${networking}/virtual-service-reviews-v3.yaml`);
	await expect(address, "100 % v3", { v3: 100 }, 500);
	const page = await request(address, "/productpage");
	if (page.status !== 200) wrong++;
	return address;
}

async function main(): Promise<number> {
	let stopped = false;
	const down = async () => {
		if (stopped) return;
		stopped = true;
		await weft("down");
	};
	try {
		const address = await story();
		if (flags.check || wrong > 0) return wrong === 0 ? 0 : 1;
		console.log(styleText("bold", `\nBookinfo: http://${address}/productpage`));
		console.log(`Try: node packages/cli/bin/weft.mjs status --state-dir .weft/demo\nCtrl-C ends the mesh.`);
		// Waiting for a signal alone does not keep a process alive.
		const alive = setInterval(() => undefined, 60_000);
		await Promise.race([once(process, "SIGINT"), once(process, "SIGTERM")]);
		clearInterval(alive);
		return 0;
	} catch (error) {
		console.error(styleText("red", error instanceof Error ? error.message : String(error)));
		return 1;
	} finally {
		await down().catch((error: Error) => console.error(error.message));
		agent.destroy();
	}
}

process.exitCode = await main();
