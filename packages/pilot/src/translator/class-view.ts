import type { Turns } from "@weft/runtime";
import type { ProxyNode } from "../model/proxy-node.ts";
import type { EndpointIndex, Mesh, PushSnapshot, Scope } from "../model/push.ts";
import { scopeOf } from "../model/scope.ts";
import type { EncodedResource, ProxyContext, Resources } from "./context.ts";
import {
	assignmentInputs,
	assignmentNamesOf,
	changedHosts as hostsWithOtherEndpoints,
	classPlaceKey,
	clusterLoadAssignments,
} from "./endpoints/assignments.ts";
import { type PatchSet, patchSetFor } from "./envoy-filter/patch-set.ts";
import { tableHeaderKey } from "./header-settings.ts";
import { createMemo, identityOf } from "./memo.ts";
import { nameTable } from "./name-table.ts";
import { clientKey, selectedSourceLabels } from "./routes/client-key.ts";
import { differentHosts, type SplitTable, splitTable } from "./routes/index.ts";
import { contextOf, prepare, routeTableOf } from "./translator.ts";

/** One object for equal inputs: everything that assignments are derived from. */
export interface AssignmentsRevision {
	readonly classKey: string;
	readonly inputs: readonly object[];
	readonly endpoints: EndpointIndex;
}

/** One object for equal inputs of route tables; what was split for clients of this revision is kept with it. */
export interface TablesRevision {
	readonly splits: Map<string, SplitTable | undefined>;
}

const newTables = (): TablesRevision => ({ splits: new Map() });

const patchedRevisions = createMemo<TablesRevision>();

/** One class after another: what classes share is there by the time that the second one asks for it. */
const preparations = new WeakMap<PushSnapshot, Promise<void>>();

const viewsOfPush = new WeakMap<PushSnapshot, Map<string, ClassView>>();

/** What the proxies of one class see of one push alike: worked out once, when the first of them asks for it. */
export function classViewOf(push: PushSnapshot, node: ProxyNode): ClassView {
	let views = viewsOfPush.get(push);
	if (!views) {
		views = new Map();
		viewsOfPush.set(push, views);
	}
	const patches = patchSetFor(push, node);
	const key = patches === undefined ? classKeyOf(push, node) : `${classKeyOf(push, node)} ${identityOf(patches)}`;
	let view = views.get(key);
	if (!view) {
		view = new ClassView(contextOf(push, node), patches);
		views.set(key, view);
	}
	return view;
}

/** A class key, and what of its scope it was worked out from: an edit of a route makes another scope with the same of these. */
interface KnownKey {
	readonly scopeKey: string;
	readonly serviceByHost: Scope["serviceByHost"];
	readonly sourceLabels: readonly string[];
	readonly mesh: Mesh;
	readonly key: string;
}

const keys = new WeakMap<ProxyNode, KnownKey>();

/** Everything that a view of a class reads of a node; a gateway's tables also depend on its own pod. */
function classKeyOf(push: PushSnapshot, node: ProxyNode): string {
	const scope = scopeOf(push, node);
	const { key: scopeKey, serviceByHost } = scope;
	const { mesh } = push;
	const sourceLabels = selectedSourceLabels(scope);
	const known = keys.get(node);
	const isSame = known?.scopeKey === scopeKey && known.serviceByHost === serviceByHost && known.sourceLabels === sourceLabels && known.mesh === mesh;
	if (isSame) return known.key;
	const own = node.kind === "sidecar" ? "" : node.id;
	const key = `${scopeKey} ${classPlaceKey(scope, mesh, node)} ${tablesKey({ push, scope, node })} ${own}`;
	keys.set(node, { scopeKey, serviceByHost, sourceLabels, mesh, key });
	return key;
}

/** What the route tables of one scope differ by. */
const tablesKey = (context: ProxyContext): string => `${clientKey(context)} ${tableHeaderKey(context)}`;

/** Names that differ from those of an earlier revision: almost every proxy of the class was given the same one last. */
interface Changes {
	readonly since: object;
	/** Tables that were asked for by then. */
	readonly tables: number;
	readonly names: readonly string[] | undefined;
}

export class ClassView {
	readonly version: string;
	/** Of the first proxy of the class: for the others it says the same. */
	readonly #context: ProxyContext;
	readonly #patches: PatchSet | undefined;
	#lookUpAssignment: ((name: string) => EncodedResource | undefined) | undefined;
	#assignments: AssignmentsRevision | undefined;
	#tables: TablesRevision | undefined;
	#nameTable: Resources | undefined;
	#assignmentChanges: Changes | undefined;
	#hostChanges: Changes | undefined;
	#preparation: Promise<void> | undefined;
	#isPrepared = false;

	constructor(context: ProxyContext, patches: PatchSet | undefined) {
		this.version = String(context.push.version);
		this.#context = context;
		this.#patches = patches;
	}

	/** Before the first proxy of the class is given its view: what is large is worked out in turns. Undefined when that is done. */
	prepare(turns: Turns): Promise<void> | undefined {
		if (this.#isPrepared) return undefined;
		if (this.#preparation === undefined) {
			const { push } = this.#context;
			this.#preparation = this.#prepare(turns, preparations.get(push));
			preparations.set(push, this.#preparation);
		}
		return this.#preparation;
	}

	async #prepare(turns: Turns, before: Promise<void> | undefined): Promise<void> {
		// Its failure is for those who wait for that class.
		if (before) await before.catch(() => undefined);
		for (const _ of prepare(this.#context)) {
			const turn = turns.next();
			if (turn) await turn;
		}
		this.#isPrepared = true;
	}

	get nameTable(): Resources {
		return (this.#nameTable ??= nameTable(this.#context.push, this.#context.node));
	}

	get assignments(): AssignmentsRevision {
		return (this.#assignments ??= assignmentsRevision(this.#context));
	}

	get tables(): TablesRevision {
		return (this.#tables ??= tablesRevision(this.#context, this.#patches));
	}

	assignment(name: string): EncodedResource | undefined {
		this.#lookUpAssignment ??= clusterLoadAssignments(this.#context);
		return this.#lookUpAssignment(name);
	}

	/** Assignments that can differ from those of an earlier revision; undefined: it may be every one. */
	changedAssignments(since: AssignmentsRevision): readonly string[] | undefined {
		if (this.#assignmentChanges?.since !== since)
			this.#assignmentChanges = { since, tables: 0, names: changedAssignments(this.#context, this.assignments, since) };
		return this.#assignmentChanges.names;
	}

	table(name: string): EncodedResource | undefined {
		return routeTableOf(this.#context, name);
	}

	splitTable(name: string): SplitTable | undefined {
		const { splits } = this.tables;
		if (!splits.has(name)) {
			const table = this.table(name);
			splits.set(name, table && splitTable(table));
		}
		return splits.get(name);
	}

	/** The virtual hosts of a table; undefined: no such table. */
	hosts(table: string): Resources | undefined {
		return table === "" || table.includes("/") ? undefined : this.splitTable(table)?.hosts;
	}

	/** Virtual hosts that differ from an earlier revision's, in the tables that clients of that revision have asked for; undefined: it may be every one. */
	changedHosts(since: TablesRevision): readonly string[] | undefined {
		const { size: tables } = since.splits;
		const known = this.#hostChanges;
		if (known?.since === since && known.tables === tables) return known.names;
		const names = this.#differentHosts([...since.splits]);
		this.#hostChanges = { since, tables, names };
		return names;
	}

	#differentHosts(earlier: readonly (readonly [table: string, before: SplitTable | undefined])[]): readonly string[] | undefined {
		// Nobody has asked that revision for anything: it may have been made anew for an older view.
		if (earlier.length === 0) return undefined;
		// A table that was gone and is back may have lost hosts meanwhile.
		if (earlier.some(([table, before]) => before === undefined && this.hosts(table) !== undefined)) return undefined;
		return earlier.flatMap(([table, before]) => {
			const now = this.splitTable(table);
			return now === undefined || before === undefined ? [] : differentHosts(before, now);
		});
	}
}

function assignmentsRevision({ push, scope, node }: ProxyContext): AssignmentsRevision {
	const inputs = assignmentInputs(push, scope);
	const classKey = `${scope.key} ${classPlaceKey(scope, push.mesh, node)}`;
	return push.caches.shared.get(`eds revision ${classKey}`, inputs, () => ({ classKey, inputs, endpoints: push.endpoints })) as AssignmentsRevision;
}

/** Where endpoints alone changed, the assignments of the services they belong to. */
function changedAssignments({ push, scope, node }: ProxyContext, now: AssignmentsRevision, since: AssignmentsRevision): readonly string[] | undefined {
	const alike = now.classKey === since.classKey && now.inputs.every((input, i) => input === since.inputs[i] || input === now.endpoints);
	if (!alike) return undefined;
	return [...hostsWithOtherEndpoints(push, since.endpoints)].flatMap((host) => assignmentNamesOf(scope, host, node.kind === "router"));
}

function tablesRevision(context: ProxyContext, patches: PatchSet | undefined): TablesRevision {
	const built = builtTablesRevision(context);
	return patches === undefined ? built : patchedRevisions.get([built, patches], "", newTables);
}

/** A gateway's also depend on the Gateways that select it, and on its own pod. */
function builtTablesRevision(context: ProxyContext): TablesRevision {
	const { push, scope, node } = context;
	const { services, virtualServices, destinationRules, sidecars, mesh, gateways, workloads } = push;
	const inputs = [services, virtualServices, destinationRules, sidecars, mesh];
	const shared = (key: string, all: readonly object[]) => push.caches.shared.get(`rds revision ${key}`, all, newTables) as TablesRevision;
	if (node.kind === "sidecar") return shared(`${scope.key} ${tablesKey(context)}`, inputs);
	return shared(node.id, [...inputs, gateways, workloads]);
}
