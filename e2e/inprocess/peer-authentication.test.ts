import assert from "node:assert/strict";
import { Agent } from "node:http";
import { after, afterEach, before, describe, test } from "node:test";
import { closeConnections, load, startTestMesh, type TestMesh } from "@weft/testkit";
import { type Caller, createCaller, stranger } from "./callers.ts";
import { service, workload } from "./mesh-yaml.ts";
import { boundAddress, podOf } from "./pods.ts";

// Which clients each combination of PeerAuthentications lets in: plain text, the mesh's TLS, and a sidecar, which must follow the server.

type Mode = "STRICT" | "PERMISSIVE" | "DISABLE" | "UNSET";

interface Policies {
	readonly mesh?: Mode;
	readonly namespace?: Mode;
	readonly workload?: Mode;
	/** Of the port that the server listens on. */
	readonly port?: Mode;
}

let mesh: TestMesh;
let caller: Caller;
const addresses = { http: "", tcp: "" };
const applied = new Set<string>();

before(async () => {
	mesh = await startTestMesh({
		yaml:
			workload({ name: "server", app: "http-app.ts", ports: [8000], namespace: "app" }) +
			service("server", [{ name: "http", port: 8000 }], { namespace: "app" }) +
			workload({ name: "pipe", app: "tcp-echo-app.ts", ports: [7000], namespace: "app" }) +
			service("pipe", [{ name: "tcp", port: 7000 }], { namespace: "app" }),
	});
	addresses.http = await boundAddress(podOf(mesh, "server-v1"));
	addresses.tcp = await boundAddress(podOf(mesh, "pipe-v1"));
	caller = await createCaller(mesh, "elsewhere", "visitor");
});

after(async () => {
	await mesh?.stop();
	closeConnections();
});

afterEach(async () => {
	for (const path of applied) {
		const [namespace = "", name = ""] = path.split("/");
		await mesh.client.remove("PeerAuthentication", namespace, name, true);
	}
	applied.clear();
});

function policy(namespace: string, name: string, spec: object): string {
	applied.add(`${namespace}/${name}`);
	return `${JSON.stringify({ apiVersion: "security.istio.io/v1", kind: "PeerAuthentication", metadata: { name, namespace }, spec })}\n---\n`;
}

const mtls = (mode: Mode) => ({ mtls: { mode } });

function yamlOf(policies: Policies): string {
	const own = (app: string, port: string) => ({
		selector: { matchLabels: { app } },
		...(policies.workload ? mtls(policies.workload) : {}),
		...(policies.port ? { portLevelMtls: { [port]: { mode: policies.port } } } : {}),
	});
	return [
		policies.mesh ? policy("istio-system", "default", mtls(policies.mesh)) : "",
		policies.namespace ? policy("app", "default", mtls(policies.namespace)) : "",
		policies.workload || policies.port ? policy("app", "server", own("server", "8000")) + policy("app", "pipe", own("pipe", "7000")) : "",
	].join("");
}

/** Who is served, over HTTP and over TCP. */
async function served() {
	const [plain, secure, plainTcp, secureTcp, sidecar] = await Promise.all([
		stranger.get(addresses.http, "/"),
		caller.get(addresses.http, "/"),
		stranger.send(addresses.tcp, "ping!"),
		caller.send(addresses.tcp, "ping!"),
		mesh.call("server.app", "/", { agent: new Agent() }),
	]);
	const identity = /URI=spiffe:\/\/cluster\.local\/ns\/default\/sa\/laptop/.test(sidecar.body);
	return {
		plain: plain.status === 200,
		tls: secure.status === 200,
		plainTcp: plainTcp === "ping!",
		tlsTcp: secureTcp === "ping!",
		sidecar: sidecar.status !== 200 ? "refused" : identity ? "mutual TLS" : "plain text",
	};
}

const strict = { plain: false, tls: true, plainTcp: false, tlsTcp: true, sidecar: "mutual TLS" };
const permissive = { plain: true, tls: true, plainTcp: true, tlsTcp: true, sidecar: "mutual TLS" };
// TCP of the client's own is passed on as it is: the application, which echoes, is no TLS server.
const disabled = { plain: true, tls: false, plainTcp: true, tlsTcp: false, sidecar: "plain text" };

void describe("who is served", () => {
	const matrix: readonly (readonly [Policies, typeof strict])[] = [
		[{}, permissive],
		[{ mesh: "STRICT" }, strict],
		[{ mesh: "DISABLE" }, disabled],
		[{ mesh: "STRICT", namespace: "PERMISSIVE" }, permissive],
		[{ mesh: "STRICT", namespace: "UNSET" }, strict],
		[{ mesh: "PERMISSIVE", namespace: "STRICT" }, strict],
		[{ namespace: "DISABLE" }, disabled],
		[{ mesh: "STRICT", namespace: "STRICT", workload: "PERMISSIVE" }, permissive],
		[{ namespace: "STRICT", workload: "UNSET" }, strict],
		[{ namespace: "PERMISSIVE", workload: "STRICT" }, strict],
		[{ namespace: "STRICT", workload: "DISABLE" }, disabled],
		[{ workload: "STRICT", port: "PERMISSIVE" }, permissive],
		[{ workload: "PERMISSIVE", port: "STRICT" }, strict],
		[{ workload: "STRICT", port: "DISABLE" }, disabled],
		[{ workload: "STRICT", port: "UNSET" }, strict],
		[{ mesh: "STRICT", port: "UNSET" }, strict],
	];
	for (const [policies, expected] of matrix) {
		const name =
			Object.entries(policies)
				.map(([scope, mode]) => `${scope} ${mode}`)
				.join(", ") || "nothing said";
		void test(name, async () => {
			const yaml = yamlOf(policies);
			if (yaml !== "") await mesh.applyYaml(yaml);
			assert.deepEqual(await served(), expected);
		});
	}
});

test("from PERMISSIVE to STRICT and back under load, no request of the mesh fails", async () => {
	await mesh.applyYaml(policy("app", "default", mtls("PERMISSIVE")));
	const stop = new AbortController();
	const running = load(() => mesh.call("server.app", "/"), { requests: 100_000, concurrency: 4, pauseMs: 5, signal: stop.signal });
	for (const mode of ["STRICT", "PERMISSIVE", "STRICT"] as const) await mesh.applyYaml(policy("app", "default", mtls(mode)));
	assert.equal((await stranger.get(addresses.http, "/")).status, 0);
	stop.abort();
	const { sent, kinds, errors } = await running;
	assert.deepEqual([kinds, errors], [{ 200: sent }, []]);
	assert.ok(sent > 50, `${sent} requests were sent`);
});
