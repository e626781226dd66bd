import { createHash, timingSafeEqual } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { join } from "node:path";
import { type AnyConfig, type Diagnostic, hasErrors, isKind, kindInfo, objectKindOf } from "@weft/api";
import { admitObjects, decodeYaml, withAge } from "@weft/galley";
import { computedStatus, configStatus, objectChecks, registeredWorkloads, statusInput } from "@weft/pilot";
import { stringify } from "yaml";
import { type HttpContext, sendJson, sendText } from "./http-context.ts";

/** Largest body that `apply` takes. */
const bodyBytesMax = 10 << 20;
const waitMsMax = 60_000;

export interface ApplyResult {
	readonly objects: readonly {
		readonly kind: string;
		readonly namespace: string;
		readonly name: string;
		readonly action: "created" | "configured" | "unchanged" | "deleted";
	}[];
	readonly diagnostics: readonly Diagnostic[];
	/** Undefined when the caller did not wait. */
	readonly inForce?: number;
	readonly unaffected?: number;
	readonly pending?: readonly string[];
	readonly refusals?: readonly { readonly proxy: string; readonly type: string; readonly message: string; readonly resources: readonly string[] }[];
	/** From the request until the last proxy had it in force. */
	readonly ms: number;
}

/** The configuration API of local mode: `POST apply`, `DELETE|GET config/KIND[/NS/NAME]`, `GET proxies`, `GET workloads`, `GET conflicts`. Token needed. */
export async function handleApi(context: HttpContext, request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> {
	const { apiToken, apiDirectory } = context;
	if (apiToken === undefined || apiDirectory === undefined) return sendText(response, 404, "the configuration API is off\n");
	if (!authorized(request, apiToken)) return sendText(response, 401, "a bearer token is needed\n");
	const [resource = "", ...rest] = url.pathname.slice("/api/v1/".length).split("/").map(decodeURIComponent);
	if (request.method === "POST" && resource === "apply") return apply(context, apiDirectory, await readBody(request), url, response);
	if (request.method === "DELETE" && resource === "config" && rest.length === 3) return remove(context, apiDirectory, rest, url, response);
	if (request.method === "GET" && resource === "config") return list(context, rest, response);
	if (resource === "ca") return certificateAuthority(context, `${request.method} ${rest.join("/")}`, response);
	if (request.method === "GET" && resource === "conflicts") return sendJson(response, 200, context.store.conflicts());
	if (request.method === "GET" && resource === "workloads") return sendJson(response, 200, registeredWorkloads(context.store.snapshot().all("WorkloadEntry")));
	if (request.method === "GET" && resource === "proxies") return sendJson(response, 200, proxies(context));
	sendText(response, 404, `no such resource: ${request.method} ${url.pathname}\n`);
}

function authorized(request: IncomingMessage, token: string): boolean {
	const given = createHash("sha256")
		.update(request.headers.authorization ?? "")
		.digest();
	return timingSafeEqual(given, createHash("sha256").update(`Bearer ${token}`).digest());
}

async function certificateAuthority({ rotation }: HttpContext, action: string, response: ServerResponse): Promise<void> {
	if (rotation === undefined) return sendText(response, 404, "this control plane has no certificate authority of its own\n");
	if (action === "GET ") return sendJson(response, 200, rotation.status());
	if (action !== "POST rotate") return sendText(response, 404, "of the authority there is: GET ca, POST ca/rotate\n");
	const prepared = await rotation.prepare();
	if (prepared.ok) return sendJson(response, 200, prepared.value);
	sendText(response, 409, `${prepared.reason}\n`);
}

async function readBody(request: IncomingMessage): Promise<string> {
	const chunks: Buffer[] = [];
	let bytes = 0;
	for await (const chunk of request as AsyncIterable<Buffer>) {
		bytes += chunk.length;
		if (bytes > bodyBytesMax) throw new Error(`body is larger than ${bodyBytesMax} bytes`);
		chunks.push(chunk);
	}
	return Buffer.concat(chunks).toString("utf8");
}

async function apply(context: HttpContext, directory: string, body: string, url: URL, response: ServerResponse): Promise<void> {
	const started = context.clock.monotonicMs();
	const sent = JSON.parse(body) as { readonly files?: readonly { readonly file: string; readonly text: string }[] };
	const decoded = (sent.files ?? []).map(({ file, text }) => decodeYaml(text, file));
	const snapshot = context.store.snapshot();
	const now = new Date(context.clock.nowMs()).toISOString();
	const aged = decoded.flatMap((d) => d.objects).map((object) => withAge(object, snapshot, now));
	const admitted = admitObjects(aged, snapshot, objectChecks);
	const diagnostics = [...decoded.flatMap((d) => d.diagnostics), ...admitted.diagnostics];
	if (hasErrors(diagnostics)) return sendJson(response, 422, { objects: [], diagnostics, ms: 0 } satisfies ApplyResult);
	if (url.searchParams.get("dryRun") === "true")
		return sendJson(response, 200, { objects: admitted.accepted.map((o) => outcome(o, "unchanged")), diagnostics, ms: 0 });
	mkdirSync(directory, { recursive: true });
	const objects = admitted.accepted.map((object) => outcome(object, write(directory, object)));
	const converged = await settled(context, url);
	const isApplied = ({ kind, namespace = "", name }: Diagnostic) => objects.some((o) => o.kind === kind && o.namespace === namespace && o.name === name);
	sendJson(response, 200, {
		objects,
		diagnostics: [...diagnostics, ...context.store.conflicts().filter(isApplied)],
		...converged,
		ms: Math.round(context.clock.monotonicMs() - started),
	} satisfies ApplyResult);
}

function outcome<A extends string>({ kind, metadata }: AnyConfig, action: A) {
	return { kind, namespace: metadata.namespace, name: metadata.name, action };
}

/** Waits until every proxy has the present state, unless the caller does not want to. */
async function settled({ rescan, discovery, signal }: HttpContext, url: URL): Promise<Partial<ApplyResult>> {
	await rescan();
	if (url.searchParams.get("wait") === "false") return {};
	const timeoutMs = Math.min(waitMsMax, Number(url.searchParams.get("timeoutMs") ?? 30_000));
	return discovery.converged(AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]));
}

/** One file an object; encoded, so that no name leads out of the directory. */
function fileOf(directory: string, kind: string, namespace: string, name: string): string {
	const [ns, file] = [namespace === "" ? "_" : namespace, name].map(encodeURIComponent);
	return join(directory, `${kind.toLowerCase()}.${ns}.${file}.yaml`);
}

function write(directory: string, object: AnyConfig): "created" | "configured" | "unchanged" {
	const file = fileOf(directory, object.kind, object.metadata.namespace, object.metadata.name);
	const before = readIfThere(file);
	const { origin: _, ...content } = object;
	const text = stringify(externalForm(content));
	if (text === before) return "unchanged";
	writeFileSync(`${file}.tmp`, text);
	renameSync(`${file}.tmp`, file);
	return before === undefined ? "created" : "configured";
}

/** Objects without `spec` keep their fields at the top, as Kubernetes writes them. */
function externalForm(object: AnyConfig): object {
	const { apiVersion, kind, metadata, spec, status } = object;
	const isFlat = kindInfo(kind).content === "root";
	return { apiVersion, kind: objectKindOf(kind), metadata, ...(isFlat ? spec : { spec }), ...(status === undefined ? {} : { status }) };
}

function readIfThere(file: string): string | undefined {
	try {
		return readFileSync(file, "utf8");
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
		throw error;
	}
}

async function remove(
	context: HttpContext,
	directory: string,
	[kind = "", namespace = "", name = ""]: readonly string[],
	url: URL,
	response: ServerResponse,
): Promise<void> {
	const started = context.clock.monotonicMs();
	const object = isKind(kind) ? context.store.snapshot().get(kind, namespace, name) : undefined;
	if (!object) return sendText(response, 404, `${kind} ${namespace}/${name} not found\n`);
	rmSync(fileOf(directory, kind, namespace, name), { force: true });
	const result: ApplyResult = {
		objects: [{ kind, namespace, name, action: "deleted" }],
		diagnostics: [],
		...(await settled(context, url)),
		ms: Math.round(context.clock.monotonicMs() - started),
	};
	sendJson(response, 200, result);
}

function list({ store, discovery, diagnostics }: HttpContext, [kind = "", namespace, name]: readonly string[], response: ServerResponse): void {
	if (!isKind(kind)) return sendText(response, 404, `the mesh has no kind "${kind}"\n`);
	const found = store
		.snapshot()
		.all(kind)
		.filter((o) => (namespace === undefined || o.metadata.namespace === namespace) && (name === undefined || o.metadata.name === name));
	if (name !== undefined && found.length === 0) return sendText(response, 404, `${kind} ${namespace}/${name} not found\n`);
	const { push } = discovery;
	const distribution = discovery.distribution();
	const said = diagnostics();
	const statusOf = (object: AnyConfig) => {
		const spread = distribution.of(object);
		const { namespace, name: own } = object.metadata;
		const findings = said.filter((finding) => finding.kind === object.kind && finding.name === own && (finding.namespace ?? "") === namespace);
		return { ...computedStatus(push, object), ...(spread && configStatus(push, statusInput(object, spread, findings))) };
	};
	sendJson(
		response,
		200,
		found.map((o) => {
			const status = statusOf(o as AnyConfig);
			return externalForm({ ...o, ...(Object.keys(status).length > 0 && { status }) } as AnyConfig);
		}),
	);
}

/** What `weft status` shows of each proxy. */
function proxies({ discovery }: HttpContext): unknown {
	return [...discovery.clients].map((client) => ({
		proxy: client.node.id.split("~")[2],
		synced: Number(client.syncedVersion) >= discovery.push.version,
		version: client.syncedVersion,
		latest: discovery.push.version,
		nacks: client.states().flatMap((s) => (s.nack ? [{ type: s.type, ...s.nack }] : [])),
	}));
}
