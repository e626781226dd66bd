import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { systemClock } from "@weft/runtime";
import { createKubeClient, type KubeClient } from "../client.ts";
import type { KubeConnection } from "../connection.ts";
import { type KubeObject, pathOf, type ResourceType } from "../resource.ts";
import { createKubeTransport } from "../transport.ts";

type Json = Record<string, unknown>;

/** How the next watches of the server misbehave. */
export type WatchFault =
	/** HTTP 410 instead of a stream. */
	| { readonly kind: "gone" }
	/** One ERROR event, then the end. */
	| { readonly kind: "error-event"; readonly code: number }
	/** An answer that never says anything and never ends. */
	| { readonly kind: "silent" }
	/** Half an event, then the connection breaks. */
	| { readonly kind: "truncated" }
	/** Ends at once without a word. */
	| { readonly kind: "empty" };

/** An API server of the tests' own: keeps objects, tells watchers, and misbehaves on demand. It knows no schema and no authorization. */
export interface FakeApiServer {
	readonly client: KubeClient;
	readonly connection: KubeConnection;
	readonly counts: { lists: number; watches: number };
	put(type: ResourceType, object: KubeObject): KubeObject;
	remove(type: ResourceType, namespace: string, name: string): void;
	get(type: ResourceType, namespace: string, name: string): KubeObject | undefined;
	/** For so many watches to come. */
	failWatches(fault: WatchFault, times: number): void;
	/** Ends the watches that are open: as a server does, or as a broken network. */
	endWatches(how: "end" | "destroy"): void;
	/** While true, every connection is cut. */
	away: boolean;
	/** 404 and 403 for these plural names; 404 also for `plural.version`. */
	readonly missing: Set<string>;
	readonly forbidden: Set<string>;
	/** Forgets the past: a watch from an older version gets 410. */
	compact(): void;
	/** Answers a POST of this plural name instead of keeping the object; undefined: keep it. */
	readonly handlers: Map<string, (object: Json) => { readonly status?: number; readonly body: Json } | undefined>;
	/** Called with each object that is to be written; a message refuses it with 400. */
	admit: (object: Json) => string | undefined;
	close(): void;
}

interface Entry {
	readonly version: number;
	readonly collection: string;
	readonly type: "ADDED" | "MODIFIED" | "DELETED";
	readonly object: KubeObject;
}

interface Watcher {
	readonly collection: string;
	readonly query: URLSearchParams;
	readonly response: ServerResponse;
}

export async function startFakeApiServer(): Promise<FakeApiServer> {
	const fake = new Fake();
	await fake.listen();
	return fake;
}

class Fake implements FakeApiServer {
	readonly counts = { lists: 0, watches: 0 };
	readonly missing = new Set<string>();
	readonly forbidden = new Set<string>();
	readonly handlers = new Map<string, (object: Json) => { readonly status?: number; readonly body: Json } | undefined>();
	admit: (object: Json) => string | undefined = () => undefined;
	away = false;
	readonly #objects = new Map<string, KubeObject>();
	#log: Entry[] = [];
	#version = 100;
	#compactedAt = 0;
	readonly #watchers = new Set<Watcher>();
	readonly #faults: WatchFault[] = [];
	readonly #server: Server;
	#connection: KubeConnection | undefined;
	#client: KubeClient | undefined;

	constructor() {
		this.#server = createServer((request, response) => {
			this.#answer(request, response).catch((error: unknown) => {
				response.writeHead(500).end(String(error));
			});
		});
	}

	async listen(): Promise<void> {
		await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
		const server = new URL(`http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`);
		this.#connection = { server, namespace: "istio-system", credentials: async () => ({ headers: { authorization: "Bearer test" } }) };
		this.#client = createKubeClient(createKubeTransport(this.#connection));
	}

	get connection(): KubeConnection {
		if (!this.#connection) throw new Error("not listening yet");
		return this.#connection;
	}

	get client(): KubeClient {
		if (!this.#client) throw new Error("not listening yet");
		return this.#client;
	}

	put(type: ResourceType, object: KubeObject): KubeObject {
		return this.#store(pathOf(type), object);
	}

	remove(type: ResourceType, namespace: string, name: string): void {
		this.#delete(pathOf(type), namespace, name);
	}

	get(type: ResourceType, namespace: string, name: string): KubeObject | undefined {
		return this.#objects.get(key(pathOf(type), namespace, name));
	}

	failWatches(fault: WatchFault, times: number): void {
		for (let i = 0; i < times; i++) this.#faults.push(fault);
	}

	endWatches(how: "end" | "destroy"): void {
		for (const { response } of this.#watchers) {
			if (how === "end") response.end();
			else response.destroy();
		}
		this.#watchers.clear();
	}

	compact(): void {
		this.#compactedAt = this.#version;
		this.#log = [];
	}

	close(): void {
		this.#client?.transport.close();
		this.#server.close();
		this.#server.closeAllConnections();
	}

	#store(collection: string, object: KubeObject): KubeObject {
		const id = key(collection, object.metadata.namespace ?? "", object.metadata.name);
		const before = this.#objects.get(id);
		const version = ++this.#version;
		const creationTimestamp = before?.metadata["creationTimestamp"] ?? new Date(systemClock.nowMs()).toISOString();
		const uid = before?.metadata.uid ?? `uid-${version}`;
		const generation = generationOf(object, before);
		const stored = { ...object, metadata: { uid, ...object.metadata, ...(generation && { generation }), resourceVersion: String(version), creationTimestamp } };
		this.#objects.set(id, stored);
		this.#record({ version, collection, type: before ? "MODIFIED" : "ADDED", object: stored });
		return stored;
	}

	#delete(collection: string, namespace: string, name: string): KubeObject | undefined {
		const before = this.#objects.get(key(collection, namespace, name));
		if (!before) return undefined;
		this.#objects.delete(key(collection, namespace, name));
		const version = ++this.#version;
		const object = { ...before, metadata: { ...before.metadata, resourceVersion: String(version) } };
		this.#record({ version, collection, type: "DELETED", object });
		return before;
	}

	#record(entry: Entry): void {
		this.#log.push(entry);
		for (const watcher of this.#watchers) send(watcher, entry);
	}

	async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
		if (this.away) return void request.socket.destroy();
		const url = new URL(request.url ?? "/", "http://fake");
		if (url.pathname === "/version") return json(response, 200, { gitVersion: "v1.34.4" });
		const match = /^(\/api\/v1|\/apis\/[^/]+\/[^/]+)(?:\/namespaces\/([^/]+)(?=\/))?\/([^/]+)(?:\/([^/]+))?(?:\/([^/]+))?$/.exec(url.pathname);
		if (!match) return failure(response, 404, "NotFound", `no path ${url.pathname}`);
		const [, root = "", namespace = "", plural = "", name, subresource] = match;
		const collection = `${root}/${plural}`;
		if (this.missing.has(plural) || this.missing.has(`${plural}.${root.slice(root.lastIndexOf("/") + 1)}`))
			return void response.writeHead(404).end("404 page not found\n");
		if (this.forbidden.has(plural)) return failure(response, 403, "Forbidden", `${plural} is forbidden`);
		if (request.method === "GET" && name === undefined && url.searchParams.get("watch") === "true") return this.#watch(collection, namespace, url, response);
		if (request.method === "GET" && name === undefined) return this.#list(collection, namespace, url, response);
		const body = request.method === "GET" ? {} : (JSON.parse((await text(request)) || "{}") as Json);
		if (request.method === "POST") return this.#create(collection, plural, namespace, body, url, response);
		const present = this.#objects.get(key(collection, namespace, name ?? ""));
		if (subresource !== undefined && !present) return failure(response, 404, "NotFound", `${plural} "${name}" not found`);
		const { uid } = (body["metadata"] ?? {}) as Partial<KubeObject["metadata"]>;
		if (present && uid !== undefined && uid !== present.metadata.uid) return failure(response, 409, "Conflict", `${plural} "${name}" has another uid`);
		if (request.method === "PATCH" && request.headers["content-type"] === "application/apply-patch+yaml")
			return this.#write(collection, namespace, mergeApplied(present ?? {}, body), present ? 200 : 201, url, response);
		if (!present) return failure(response, 404, "NotFound", `${plural} "${name}" not found`);
		switch (request.method) {
			case "GET":
				return json(response, 200, present);
			case "DELETE": {
				const expected = (body["preconditions"] as { readonly resourceVersion?: string } | undefined)?.resourceVersion;
				if (expected !== undefined && expected !== present.metadata.resourceVersion)
					return failure(response, 409, "Conflict", `${plural} "${name}" has changed`);
				this.#delete(collection, namespace, name ?? "");
				return json(response, 200, { kind: "Status", status: "Success" });
			}
			case "PUT": {
				const expected = (body["metadata"] as KubeObject["metadata"] | undefined)?.resourceVersion;
				if (expected !== undefined && expected !== present.metadata.resourceVersion)
					return failure(response, 409, "Conflict", `${plural} "${name}" has changed`);
				return this.#write(collection, namespace, body, 200, url, response);
			}
			default: {
				const expected = (body["metadata"] as Partial<KubeObject["metadata"]> | undefined)?.resourceVersion;
				if (expected !== undefined && expected !== present.metadata.resourceVersion)
					return failure(response, 409, "Conflict", `${plural} "${name}" has changed`);
				return this.#write(collection, namespace, merge(present, body), 200, url, response);
			}
		}
	}

	#create(collection: string, plural: string, namespace: string, body: Json, url: URL, response: ServerResponse): void {
		const handled = this.handlers.get(plural)?.(body);
		if (handled) return json(response, handled.status ?? 201, handled.body);
		const { name } = body["metadata"] as KubeObject["metadata"];
		if (this.#objects.has(key(collection, namespace, name))) return failure(response, 409, "AlreadyExists", `${plural} "${name}" already exists`);
		this.#write(collection, namespace, body, 201, url, response);
	}

	#write(collection: string, namespace: string, body: Json, status: number, url: URL, response: ServerResponse): void {
		const refusal = this.admit(body);
		if (refusal !== undefined) return failure(response, 400, "BadRequest", refusal);
		const object = { ...body, metadata: { ...(body["metadata"] as KubeObject["metadata"]), ...(namespace !== "" && { namespace }) } };
		if (url.searchParams.get("dryRun") === "All") return json(response, status, object);
		json(response, status, this.#store(collection, object));
	}

	#list(collection: string, namespace: string, url: URL, response: ServerResponse): void {
		const from = Number(url.searchParams.get("continue") ?? 0);
		if (from === 0) this.counts.lists++;
		const limit = Number(url.searchParams.get("limit") ?? 0) || Number.POSITIVE_INFINITY;
		const all = [...this.#objects]
			.filter(([id, object]) => id.startsWith(`${collection}|`) && matches(object, url.searchParams, namespace))
			.map(([, object]) => ({ ...object, apiVersion: undefined, kind: undefined }));
		const more = all.length > from + limit ? { continue: String(from + limit) } : {};
		json(response, 200, { kind: "List", metadata: { resourceVersion: String(this.#version), ...more }, items: all.slice(from, from + limit) });
	}

	#watch(collection: string, namespace: string, url: URL, response: ServerResponse): void {
		this.counts.watches++;
		const fault = this.#faults.shift();
		const from = Number(url.searchParams.get("resourceVersion") ?? 0);
		if (fault?.kind === "gone" || from < this.#compactedAt) return failure(response, 410, "Expired", "too old resource version");
		response.writeHead(200, { "content-type": "application/json" });
		response.flushHeaders();
		if (fault) return misbehave(fault, response);
		if (namespace !== "") url.searchParams.set("namespace", namespace);
		const watcher = { collection, query: url.searchParams, response };
		for (const entry of this.#log) if (entry.version > from) send(watcher, entry);
		this.#watchers.add(watcher);
		response.on("close", () => this.#watchers.delete(watcher));
	}
}

/** Counts changes of the spec, unless the test says which it is. */
function generationOf(object: KubeObject, before: KubeObject | undefined): number | undefined {
	if (object["spec"] === undefined) return undefined;
	const [said, last] = [object.metadata["generation"], before?.metadata["generation"]];
	if (typeof said === "number" && said !== last) return said;
	const known = typeof last === "number" ? last : 0;
	return before !== undefined && JSON.stringify(object["spec"]) === JSON.stringify(before["spec"]) ? known : known + 1;
}

function misbehave(fault: WatchFault, response: ServerResponse): void {
	if (fault.kind === "error-event") {
		const object = { kind: "Status", status: "Failure", code: fault.code, reason: fault.code === 410 ? "Expired" : "InternalError", message: "no" };
		response.end(`${JSON.stringify({ type: "ERROR", object })}\n`);
	}
	if (fault.kind === "truncated") response.write('{"type":"MODIFIED","object":{"metadata":{"na', () => response.destroy());
	if (fault.kind === "empty") response.end();
}

const key = (collection: string, namespace: string, name: string): string => `${collection}|${namespace}/${name}`;

function send({ collection, query, response }: Watcher, { type, object, collection: changed }: Entry): void {
	if (changed === collection && matches(object, query, query.get("namespace") ?? "")) response.write(`${JSON.stringify({ type, object })}\n`);
}

function matches({ metadata }: KubeObject, query: URLSearchParams, namespace: string): boolean {
	if (namespace !== "" && metadata.namespace !== namespace) return false;
	const terms = (name: string) => (query.get(name) ?? "").split(",").filter((term) => term !== "");
	return (
		terms("fieldSelector").every((term) => !term.startsWith("metadata.name=") || metadata.name === term.slice("metadata.name=".length)) &&
		terms("labelSelector").every((term) => matchesLabel(metadata.labels ?? {}, term))
	);
}

function matchesLabel(labels: Readonly<Record<string, string>>, term: string): boolean {
	const [name = "", value] = term.split("=");
	return value === undefined ? Object.hasOwn(labels, name) : labels[name] === value;
}

/** Objects are merged, lists of named objects by name, as a strategic merge patch does for webhooks. */
function merge(base: Json, patch: Json): Json {
	const out: Json = { ...base };
	for (const [name, value] of Object.entries(patch)) {
		const before = out[name];
		if (value === null) delete out[name];
		else if (isNamedList(before) && isNamedList(value))
			out[name] = before.map((item) => merge(item, value.find((other) => other["name"] === item["name"]) ?? {}));
		else if (isRecord(before) && isRecord(value)) out[name] = merge(before, value);
		else out[name] = value;
	}
	return out;
}

/** Of server-side apply by one manager: lists are what it says. */
function mergeApplied(base: Json, patch: Json): Json {
	const out: Json = { ...base };
	for (const [name, value] of Object.entries(patch)) {
		const before = out[name];
		out[name] = isRecord(before) && isRecord(value) ? mergeApplied(before, value) : value;
	}
	return out;
}

const isRecord = (value: unknown): value is Json => typeof value === "object" && value !== null && !Array.isArray(value);
const isNamedList = (value: unknown): value is Json[] => Array.isArray(value) && value.every((item) => isRecord(item) && typeof item["name"] === "string");

async function text(request: IncomingMessage): Promise<string> {
	const chunks: Buffer[] = [];
	for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
	return Buffer.concat(chunks).toString("utf8");
}

function json(response: ServerResponse, status: number, body: unknown): void {
	response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}

function failure(response: ServerResponse, code: number, reason: string, message: string): void {
	json(response, code, { kind: "Status", apiVersion: "v1", status: "Failure", code, reason, message });
}
