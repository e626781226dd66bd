import { hasStatus, type KubeClient, type KubeObject, KubeError, type ResourceType, resources, watchResource } from "@weft/kube";
import { type Clock, createBackoff, type Logger } from "@weft/runtime";
import type { TrustedRoots } from "../trusted-roots.ts";

export interface CaBundleOptions {
	readonly client: KubeClient;
	/** MutatingWebhookConfiguration; empty: none. Those of revision tags are found by their label. */
	readonly injectorConfigName: string;
	/** ValidatingWebhookConfiguration; empty: none. */
	readonly validatorConfigName: string;
	readonly namespace: string;
	readonly revision: string;
	/** The roots that the webhooks' certificate is under. */
	readonly roots: TrustedRoots;
	readonly clock: Clock;
	readonly logger: Logger;
	/** From when on this replica mends nothing any more: its successor, which may have another root, has the say. */
	readonly draining?: AbortSignal;
	readonly signal: AbortSignal;
}

export interface CaBundleWriter {
	/** What the API server could not yet verify our webhooks with. */
	waitingFor(): readonly string[];
	readonly done: Promise<void>;
}

interface Webhook {
	readonly name: string;
	readonly failurePolicy?: string;
	readonly clientConfig?: { readonly caBundle?: string };
}

const fieldManager = "weft-webhooks";

/**
 * Keeps our roots in the webhook configurations that point to us, and mends them when somebody (a helm upgrade) takes them
 * out. A validating configuration begins as Ignore, so that a cluster is never locked; it becomes Fail when the API server
 * has proved, by refusing a dry run of an invalid object in our words, that it reaches us.
 */
export function runCaBundles(options: CaBundleOptions): CaBundleWriter {
	const { injectorConfigName, validatorConfigName } = options;
	const watched = [
		...(injectorConfigName === "" ? [] : [new ConfigKeeper(options, resources.mutatingWebhooks, injectorConfigName, undefined)]),
		...(validatorConfigName === "" ? [] : [new ConfigKeeper(options, resources.validatingWebhooks, validatorConfigName, undefined)]),
		...(validatorConfigName === ""
			? []
			: [new ConfigKeeper(options, resources.validatingWebhooks, validatorConfigName, `istio.io/rev=${options.revision || "default"},istio.io/tag`)]),
		...(injectorConfigName === ""
			? []
			: [new ConfigKeeper(options, resources.mutatingWebhooks, injectorConfigName, `istio.io/rev=${options.revision || "default"},istio.io/tag`)]),
	];
	return {
		waitingFor: () => watched.flatMap((keeper) => keeper.waitingFor()),
		done: Promise.all(watched.map((keeper) => keeper.run())).then(() => undefined),
	};
}

class ConfigKeeper {
	readonly #options: CaBundleOptions;
	readonly #type: ResourceType;
	readonly #name: string;
	/** Undefined: the one configuration of that name. */
	readonly #labelSelector: string | undefined;
	readonly #configs = new Map<string, KubeObject>();
	#isRead = false;
	#isProved = false;
	#isChanged = false;
	#wakeUp = () => {};

	constructor(options: CaBundleOptions, type: ResourceType, name: string, labelSelector: string | undefined) {
		this.#options = options;
		this.#type = type;
		this.#name = name;
		this.#labelSelector = labelSelector;
	}

	get #caBundle(): string {
		return Buffer.from(this.#options.roots.pem()).toString("base64");
	}

	waitingFor(): readonly string[] {
		if (!this.#isRead && this.#labelSelector === undefined) return [`${this.#type.kind} ${this.#name}`];
		return [...this.#configs.values()].filter((config) => !this.#isPatched(config)).map(({ metadata }) => `${this.#type.kind} ${metadata.name}`);
	}

	async run(): Promise<void> {
		const { client, clock, logger, signal } = this.#options;
		const watch = watchResource(client, this.#type, {
			...(this.#labelSelector === undefined ? { fieldSelector: `metadata.name=${this.#name}` } : { labelSelector: this.#labelSelector }),
			signal,
			clock,
			logger,
			onList: (objects) => {
				this.#configs.clear();
				for (const object of objects) this.#configs.set(object.metadata.name, object);
				if (objects.length === 0 && this.#labelSelector === undefined)
					logger.warn("no such webhook configuration; it is taken up when it comes", { kind: this.#type.kind, name: this.#name });
				this.#isRead = true;
				this.#wake();
			},
			onEvents: (events) => {
				for (const { type, object } of events) {
					if (type === "delete") this.#configs.delete(object.metadata.name);
					else this.#configs.set(object.metadata.name, object);
				}
				this.#wake();
			},
		});
		const leave = this.#options.roots.onChanged(() => this.#wake());
		await Promise.all([watch.done, this.#mend()]);
		leave();
	}

	async #mend(): Promise<void> {
		const { logger, draining } = this.#options;
		const signal = draining ? AbortSignal.any([this.#options.signal, draining]) : this.#options.signal;
		const backoff = createBackoff({ minMs: 500, maxMs: 10_000 });
		signal.addEventListener("abort", () => this.#wake(), { once: true });
		while (!signal.aborted) {
			let isDone = true;
			this.#isChanged = false;
			for (const config of [...this.#configs.values()]) {
				try {
					isDone = (await this.#mendOne(config)) && isDone;
				} catch (error) {
					isDone = false;
					if (!signal.aborted) logger.warn("webhook configuration not patched", { kind: this.#type.kind, name: config.metadata.name, error });
				}
			}
			if (isDone) backoff.reset();
			await this.#changed(isDone ? undefined : backoff.nextMs());
		}
	}

	#wake(): void {
		this.#isChanged = true;
		this.#wakeUp();
	}

	/** Waits for a change, or until it is time for another attempt. */
	async #changed(ms: number | undefined): Promise<void> {
		const { clock, signal } = this.#options;
		if (this.#isChanged) return;
		const over = new AbortController();
		const woken = new Promise<void>((resolve) => {
			this.#wakeUp = resolve;
		});
		const slept = ms === undefined ? [] : [clock.sleep(ms, AbortSignal.any([signal, over.signal]))];
		await Promise.race([woken, ...slept]).finally(() => over.abort());
	}

	/** Is nothing left to do? */
	async #mendOne(config: KubeObject): Promise<boolean> {
		if (!this.#isPatched(config)) await this.#patch(config, () => ({ clientConfig: { caBundle: this.#caBundle } }), "roots written into webhook configuration");
		if (this.#type !== resources.validatingWebhooks) return true;
		const current = this.#configs.get(config.metadata.name) ?? config;
		if (webhooksOf(current).every(({ failurePolicy }) => failurePolicy === "Fail")) return true;
		this.#isProved ||= await this.#isReached();
		if (!this.#isProved) return false;
		await this.#patch(current, () => ({ failurePolicy: "Fail" }), "validation works; from now on nothing passes without it");
		return true;
	}

	#isPatched(config: KubeObject): boolean {
		return webhooksOf(config).every(({ clientConfig }) => clientConfig?.caBundle === this.#caBundle);
	}

	async #patch(config: KubeObject, change: () => object, message: string): Promise<void> {
		const { client, logger, signal } = this.#options;
		const { name } = config.metadata;
		// By name, so that what others do to the rest of the configuration stays.
		const webhooks = webhooksOf(config).map((webhook) => ({ name: webhook.name, ...change() }));
		const patched = await client.patch(this.#type, "", name, "strategic-merge", { webhooks }, { fieldManager, signal });
		// What the watch has told meanwhile may be newer than this answer, such as another replica's roots over ours.
		if (this.#configs.get(name) === config) this.#configs.set(name, patched);
		logger.info(message, { kind: this.#type.kind, name });
	}

	/** Does the API server ask us? A Gateway without servers passes its CRD, and nobody but us refuses it. */
	async #isReached(): Promise<boolean> {
		const { client, namespace, revision, logger, signal } = this.#options;
		const gateway = { metadata: { name: "weft-validation-probe", namespace, labels: { "istio.io/rev": revision || "default" } }, spec: {} };
		try {
			await client.create(gateways, namespace, gateway, { dryRun: true, signal });
			logger.info("validation is not in force yet: the API server does not ask", { name: this.#name });
			return false;
		} catch (error) {
			if (error instanceof KubeError && /denied the request/.test(error.message)) return true;
			if (hasStatus(error, 404)) logger.warn("validation cannot be proved without the CRD of Gateway; it stays Ignore", { name: this.#name });
			else logger.warn("validation is not proved yet", { name: this.#name, error });
			return false;
		}
	}
}

const gateways: ResourceType = { group: "networking.istio.io", version: "v1", plural: "gateways", kind: "Gateway", namespaced: true };

const webhooksOf = (config: KubeObject): readonly Webhook[] => (config["webhooks"] ?? []) as readonly Webhook[];
