import { setTimeout as sleep } from "node:timers/promises";
import { parseDurationMs } from "@weft/api";
import type { AuthorityStatus } from "@weft/citadel";
import { resources } from "@weft/kube";
import { type Cluster, type ClusterOptions, openCluster, runningPods } from "../kube/cluster.ts";
import { connectMesh } from "../local/mesh-client.ts";
import { readMesh } from "../local/state.ts";
import { CommandError } from "../output/errors.ts";
import { type OutputFormat, renderValue } from "../output/format.ts";
import { renderTable } from "../output/table.ts";
import { pathsOf, type StateOptions } from "./state-options.ts";

export interface AuthorityOptions extends ClusterOptions, StateOptions {
	readonly istioNamespace: string;
}

export interface RotateOptions extends AuthorityOptions {
	readonly wait?: boolean;
	readonly timeout: string;
}

/** The authority of a mesh on this machine, or of a cluster. */
export interface AuthorityClient {
	status(): Promise<AuthorityStatus>;
	rotate(): Promise<void>;
}

/** A cluster where one is named; else the mesh of the state directory, if one runs; else the kubeconfig's cluster. */
async function openAuthority(options: AuthorityOptions): Promise<AuthorityClient> {
	const paths = pathsOf(options);
	const isCluster = options.kubeconfig !== undefined || options.context !== undefined || readMesh(paths) === undefined;
	if (isCluster) return clusterAuthority(await openCluster(options), options.istioNamespace);
	const mesh = connectMesh(paths);
	return {
		status: async () => (await mesh.get("ca")) as AuthorityStatus,
		rotate: async () => void (await mesh.post("ca/rotate")),
	};
}

/** How long the control plane may take to see that a rotation is asked for, and how often that is looked at. */
const takeUpMs = 30_000;
const lookMs = 1_000;

/** By the API server: a page of the control plane's pod, and a request on the Secret of its key. `pace`: for tests. */
export function clusterAuthority(cluster: Cluster, namespace: string, pace = { takeUpMs, lookMs }): AuthorityClient {
	const status = async () => {
		const [istiod] = await runningPods(cluster, namespace, "app=istiod");
		if (istiod === undefined) throw new CommandError(`there is no control plane (label app=istiod) in namespace ${namespace}: weft install, or name it by -i`);
		return JSON.parse(await cluster.get(istiod, 15_014, "/debug/ca")) as AuthorityStatus;
	};
	return {
		status,
		// Who may change the Secret with the CA's key may ask for another: the API server decides, and keeps an audit record.
		async rotate() {
			const before = await status();
			const refusal = refusalOf(before);
			if (refusal !== undefined) throw new CommandError(refusal);
			const annotations = { "weft.dev/rotate-root": new Date().toISOString() };
			await cluster.client.patch(resources.secrets, namespace, "istio-ca-secret", "merge", { metadata: { annotations } });
			const deadline = Date.now() + pace.takeUpMs;
			while ((await status()).bundleId === before.bundleId) {
				if (Date.now() > deadline)
					throw new CommandError(
						`the control plane has not taken up the request (annotation weft.dev/rotate-root of istio-ca-secret) within ${pace.takeUpMs / 1000} s`,
					);
				await sleep(pace.lookMs);
			}
		},
	};
}

function refusalOf({ kind, phase }: AuthorityStatus): string | undefined {
	if (kind === "plugged-in") return "the CA is plugged in: put the new one into the Secret cacerts (with ISTIO_MULTIROOT_MESH=true a new root is rotated in)";
	return phase === "distribute" ? "a root rotation is under way already: see weft ca status" : undefined;
}

export async function caStatusCommand(options: AuthorityOptions & { readonly output: OutputFormat }): Promise<void> {
	const status = await (await openAuthority(options)).status();
	process.stdout.write(options.output === "table" ? renderAuthority(status, Date.now()) : renderValue(status, options.output));
}

const dayMs = 86_400_000;

export function renderAuthority(status: AuthorityStatus, nowMs: number): string {
	const rows = status.roots.map((root) => [
		root.slot.toUpperCase(),
		root.subject.replaceAll("\n", ", "),
		root.keyType,
		root.notAfter,
		`${Math.floor((Date.parse(root.notAfter) - nowMs) / dayMs)}d`,
		root.trustedUntil ?? "-",
		root.fingerprint.replaceAll(":", "").slice(0, 16).toLowerCase(),
	]);
	const { connected, haveBundle, silent } = status.proxies;
	return [
		`${status.kind} authority of ${status.trustDomain}, phase ${status.phase}${status.reason === "" ? "" : `: ${status.reason}`}\n`,
		renderTable(["SLOT", "SUBJECT", "KEY", "NOT AFTER", "LEFT", "TRUSTED UNTIL", "SHA256"], rows),
		`signs as ${status.signer.subject.replaceAll("\n", ", ")} until ${status.signer.notAfter}\n`,
		`${haveBundle} of ${connected} proxies have bundle ${status.bundleId}${silent === 0 ? "" : `; ${silent} cannot confirm it`}\n`,
	].join("");
}

export async function caRotateCommand(options: RotateOptions): Promise<void> {
	const timeoutMs = parseDurationMs(options.timeout);
	if (timeoutMs === undefined || timeoutMs <= 0) throw new CommandError(`--timeout: "${options.timeout}" is not a duration such as 10m`, 2);
	const authority = await openAuthority(options);
	await authority.rotate();
	process.stdout.write("prepared: a new root is handed out beside the present one, which goes on signing\n");
	if (options.wait) await waitForRotation(authority, timeoutMs);
	else process.stdout.write("weft ca status shows how far it is\n");
}

/** Until the new root signs. The old one stays trusted for as long as certificates under it live, which nobody need wait for. */
async function waitForRotation(authority: AuthorityClient, timeoutMs: number): Promise<void> {
	const deadline = Date.now() + timeoutMs;
	let told = "";
	for (;;) {
		const { phase, reason, proxies } = await authority.status();
		const line =
			phase === "distribute" ? `distribute: ${proxies.haveBundle} of ${proxies.connected} proxies have it; ${reason.replace(/\d+ s/, "a while")}` : "";
		if (line !== told && line !== "") process.stdout.write(`${line}\n`);
		told = line;
		if (phase !== "distribute") {
			process.stdout.write(`activated: the new root signs; ${reason}\n`);
			return;
		}
		if (Date.now() > deadline)
			throw new CommandError(`the new root does not sign yet after ${timeoutMs / 1000} s: ${reason}. The rotation goes on; see weft ca status`);
		await sleep(500);
	}
}
