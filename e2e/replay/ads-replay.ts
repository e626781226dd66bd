import { createHash } from "node:crypto";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { createLogger, systemClock } from "@weft/runtime";
import { fromJson, messageFns, registerMessages, stripTypeUrl, typeUrls, type XdsType } from "@weft/xds";
import { allMessages } from "@weft/xds/registry";
import { adsService, type EncodedResource, type ResourceView, type XdsClient } from "@weft/xds/server";
import { createAuthority } from "../security/identities.ts";
import { type Json, kinds, type Resources } from "./corpus.ts";

const answerMsMax = 10_000;

/** A control plane that says what a corpus says, to one client. */
export class AdsReplay {
	readonly #server = new Server();
	#client: XdsClient | undefined;
	#refusals: string[] = [];
	#onSynced: (() => void) | undefined;
	#versions = 0;
	port = 0;

	async listen(): Promise<void> {
		registerMessages(allMessages);
		const { definition, implementation } = adsService({
			delegate: {
				connected: (client) => {
					this.#client = client;
					client.push(viewOf({ cds: new Map(), eds: new Map(), lds: new Map(), rds: new Map(), ecds: new Map() }, "0"));
				},
				disconnected: () => (this.#client = undefined),
				nacked: (_client, type, message) => this.#refusals.push(`${type}: ${message}`),
				synced: () => this.#onSynced?.(),
			},
			clock: systemClock,
			logger: createLogger({ level: "error" }),
			identify: () => undefined,
		});
		this.#server.addService(definition, implementation);
		this.port = await new Promise<number>((resolve, reject) => {
			this.#server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) => (error === null ? resolve(bound) : reject(error)));
		});
	}

	get isConnected(): boolean {
		return this.#client !== undefined;
	}

	/** Replaces everything the client has; gives what it refused, once it has answered all of it. */
	async send(resources: Resources): Promise<readonly string[]> {
		this.#refusals = [];
		const view = viewOf(resources, String(++this.#versions));
		const answered = new Promise<void>((resolve, reject) => {
			const timer = setTimeout(() => reject(new Error(`no answer to all of it; refused so far: ${this.#refusals.join("; ")}`)), answerMsMax);
			this.#onSynced = () => {
				clearTimeout(timer);
				resolve();
			};
		});
		this.#client?.push(view);
		await answered;
		return this.#refusals;
	}

	stop(): void {
		this.#server.forceShutdown();
	}
}

function viewOf(resources: Resources, version: string): ResourceView {
	const encoded = new Map<XdsType, ReadonlyMap<string, EncodedResource>>(
		kinds.map((kind) => [kind, new Map([...resources[kind]].map(([name, json]) => [name, encode(kind, name, json)]))]),
	);
	const none: ReadonlyMap<string, EncodedResource> = new Map();
	return {
		version,
		all: (type) => encoded.get(type) ?? none,
		get: (type, name) => (type === "sds" ? encode(type, name, secretOf(name)) : encoded.get(type)?.get(name)),
		members: () => undefined,
		revision: () => version,
		changes: () => undefined,
	};
}

const authority = createAuthority("cluster.local");
const identity = authority.issue("spiffe://cluster.local/ns/default/sa/sleep");
const secrets = new Map<string, Json>();

/** Whatever is asked for: roots by the names that istiod gives to roots, a certificate by every other. */
function secretOf(name: string): Json {
	const before = secrets.get(name);
	if (before !== undefined) return before;
	const secret = /^ROOTCA$|-cacert$|^file-root:/.test(name)
		? { name, validationContext: { trustedCa: { inlineString: authority.caPem } } }
		: { name, tlsCertificate: { certificateChain: { inlineString: identity.certChainPem }, privateKey: { inlineString: identity.privateKeyPem } } };
	secrets.set(name, secret);
	return secret;
}

const known = new WeakMap<Json, EncodedResource>();

/** Cases share most of what they have. */
function encode(kind: XdsType, name: string, json: Json): EncodedResource {
	const before = known.get(json);
	if (before !== undefined) return before;
	const typeName = stripTypeUrl(typeUrls[kind]);
	const fns = messageFns(typeName);
	if (fns === undefined) throw new Error(`no codec for ${typeName}`);
	const bytes = fns.encode(fns.fromPartial(fromJson(typeName, json) as object)).finish();
	const resource = { name, version: createHash("sha256").update(bytes).digest("hex").slice(0, 16), bytes };
	known.set(json, resource);
	return resource;
}
