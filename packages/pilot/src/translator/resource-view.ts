import type { XdsType } from "@weft/xds";
import type { ResourceView } from "@weft/xds/server";
import type { ProxyNode } from "../model/proxy-node.ts";
import type { PushSnapshot } from "../model/push.ts";
import { type AssignmentsRevision, type ClassView, classViewOf, type TablesRevision } from "./class-view.ts";
import type { EncodedResource, Resources } from "./context.ts";
import { bootstrapPatches } from "./envoy-filter/bootstrap.ts";
import { patchSetFor } from "./envoy-filter/patch-set.ts";
import { buildSecret, noSecrets, type SecretRights } from "./secrets.ts";
import { clustersOf, contextOf, extensionConfigs, listenersOf, noResources } from "./translator.ts";

export interface ViewOptions {
	/** Default: nobody was authenticated, and secrets are for nobody. */
	readonly rights: SecretRights;
	/** Told why a proxy is not given a secret that it asks for. */
	readonly onMissingSecret?: (name: string, problem: string) => void;
}

/** The proxy's resources as the xDS server serves them; `roots`: those that workloads trust; `classView`: where it is known already. */
export function resourceView(
	push: PushSnapshot,
	node: ProxyNode,
	options: ViewOptions = { rights: noSecrets },
	roots: Resources = noResources,
	classView: ClassView = classViewOf(push, node),
): ResourceView {
	return new ProxyView(push, node, options, roots, classView);
}

/** One is made for each proxy in each push, mostly to find that nothing changed: so everything is worked out when it is asked for. */
class ProxyView implements ResourceView {
	readonly version: string;
	readonly #push: PushSnapshot;
	readonly #node: ProxyNode;
	readonly #options: ViewOptions;
	readonly #roots: Resources;
	readonly #class: ClassView;
	#clusters: Resources | undefined;
	#listeners: Resources | undefined;

	constructor(push: PushSnapshot, node: ProxyNode, options: ViewOptions, roots: Resources, classView: ClassView) {
		this.#push = push;
		this.#node = node;
		this.#options = options;
		this.#roots = roots;
		this.#class = classView;
		this.version = this.#class.version;
	}

	all(type: XdsType): Resources {
		switch (type) {
			case "cds":
				return (this.#clusters ??= clustersOf(contextOf(this.#push, this.#node)));
			case "lds":
				return (this.#listeners ??= listenersOf(contextOf(this.#push, this.#node)));
			case "nds":
				return this.#class.nameTable;
			case "pcds":
				return this.#roots;
			case "bootstrap":
				return bootstrapPatches(patchSetFor(this.#push, this.#node), this.#node.kind === "router");
			default:
				return noResources;
		}
	}

	get(type: XdsType, name: string): EncodedResource | undefined {
		switch (type) {
			case "eds":
				return this.#class.assignment(name);
			case "rds":
				return this.#node.vhds ? this.#class.splitTable(name)?.shell : this.#class.table(name);
			case "vhds":
				return this.members(type, collectionOf(name))?.get(name);
			case "ecds":
				return extensionConfigs(contextOf(this.#push, this.#node)).get(name);
			case "sds":
				return this.#secret(name);
			default:
				return this.all(type).get(name);
		}
	}

	#secret(name: string): EncodedResource | undefined {
		const outcome = buildSecret(contextOf(this.#push, this.#node), this.#options.rights, name);
		if ("value" in outcome) return outcome.value;
		this.#options.onMissingSecret?.(name, outcome.problem);
		return undefined;
	}

	/** Undefined: no such table. What a client has of one that is gone serves on until the listener goes, too. */
	members(type: XdsType, table: string): Resources | undefined {
		return type === "vhds" && this.#node.vhds ? this.#class.hosts(table) : undefined;
	}

	revision(type: XdsType): object {
		switch (type) {
			case "eds":
				return this.#class.assignments;
			case "rds":
			case "vhds":
				return this.#class.tables;
			case "ecds":
				return extensionConfigs(contextOf(this.#push, this.#node));
			case "sds":
				return secretsRevision(this.#push, this.#node, this.#options.rights);
			default:
				return this.all(type);
		}
	}

	changes(type: XdsType, since: unknown): readonly string[] | undefined {
		if (type === "eds") return this.#class.changedAssignments(since as AssignmentsRevision);
		return type === "vhds" ? this.#class.changedHosts(since as TablesRevision) : undefined;
	}
}

/** `table/host`: no table's name has a slash. */
const collectionOf = (name: string): string => name.slice(0, Math.max(0, name.indexOf("/")));

/** Secrets depend on what is in them, on who may read them, and on the Gateways that name them. */
function secretsRevision(
	{ certificates, gateways, workloads, caches }: PushSnapshot,
	node: ProxyNode,
	{ isAuthenticated, mayReadSecrets }: SecretRights,
): object {
	const key = `sds revision ${node.id} ${isAuthenticated} ${mayReadSecrets()}`;
	return caches.shared.get(key, [certificates, gateways, workloads], () => ({}));
}
