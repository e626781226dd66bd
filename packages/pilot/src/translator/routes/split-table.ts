import { BinaryReader, BinaryWriter } from "@bufbuild/protobuf/wire";
import { RouteConfiguration } from "@weft/xds/generated/envoy/config/route/v3/route.ts";
import type { EncodedResource } from "../context.ts";
import { PatchedResources } from "../derived-resources.ts";
import { stats, versionOf } from "../encode.ts";
import { ads } from "../listeners/config-source.ts";
import { joinTable, type TableParts, tableParts } from "./table-encoder.ts";

/**
 * A route table for a client that takes virtual hosts one by one (VHDS):
 * https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_conn_man/vhds.
 */
export interface SplitTable {
	/** The table with the virtual host of `*` alone, and where the others come from. */
	readonly shell: EncodedResource;
	/** The others by resource name, `table/host`. */
	readonly hosts: ReadonlyMap<string, EncodedResource>;
	/** What differs from the table before it, where that is known. */
	readonly changes: { readonly since: WeakRef<SplitTable>; readonly names: readonly string[] } | undefined;
}

const known = new WeakMap<EncodedResource, SplitTable>();

export function splitTable(table: EncodedResource): SplitTable {
	let split = known.get(table);
	if (!split) {
		const parts = tableParts(table) ?? parseTable(table.bytes);
		split = patched(table, parts) ?? build(table, parts);
		known.set(table, split);
	}
	return split;
}

/** Names of virtual hosts that differ, gone ones among them. */
export function differentHosts(before: SplitTable, now: SplitTable): readonly string[] {
	if (before === now) return [];
	if (now.changes?.since.deref() === before) return now.changes.names;
	const changed = [...now.hosts.values()].filter(({ name, version }) => before.hosts.get(name)?.version !== version).map(({ name }) => name);
	return [...changed, ...[...before.hosts.keys()].filter((name) => !now.hosts.has(name))];
}

/** The table before this one with some virtual hosts replaced; undefined where that does not tell everything. */
function patched(table: EncodedResource, { virtualHosts, patchOf }: TableParts): SplitTable | undefined {
	const last = patchOf?.table.deref();
	const before = last && known.get(last);
	const lastHosts = last && tableParts(last)?.virtualHosts;
	if (patchOf === undefined || before === undefined || lastHosts === undefined || before.hosts.size === 0) return undefined;
	const changed: EncodedResource[] = [];
	for (const i of patchOf.at) {
		const [was, is] = [lastHosts[i], virtualHosts[i]];
		if (was === undefined || is === undefined || namesOf(was).name !== namesOf(is).name) return undefined;
		if (namesOf(was).isCatchAll || namesOf(is).isCatchAll) return undefined;
		changed.push(memberOf(is, table.name));
	}
	const names = changed.map(({ name }) => name);
	return { shell: before.shell, hosts: PatchedResources.of(before.hosts, changed), changes: { since: new WeakRef(before), names } };
}

/** Where virtual hosts come from: field 9 of the table. */
const vhdsField = RouteConfiguration.encode(RouteConfiguration.fromPartial({ vhds: { configSource: ads } })).finish();

function build(table: EncodedResource, { head, virtualHosts, tail }: TableParts): SplitTable {
	const hosts = new Map<string, EncodedResource>();
	const inline: Uint8Array[] = [];
	for (const bytes of virtualHosts) {
		if (namesOf(bytes).isCatchAll) inline.push(bytes);
		else {
			const resource = memberOf(bytes, table.name);
			hosts.set(resource.name, resource);
		}
	}
	// A table of one virtual host for everything (one service at its own address) has nothing to discover.
	if (hosts.size === 0) return { shell: table, hosts, changes: undefined };
	return { shell: joinTable(table.name, { head, virtualHosts: inline, tail: Buffer.concat([tail, vhdsField]) }), hosts, changes: undefined };
}

interface HostNames {
	readonly name: string;
	readonly isCatchAll: boolean;
	/** Where the fields after the name begin. */
	readonly bodyAt: number;
}

const names = new WeakMap<Uint8Array, HostNames>();

function namesOf(bytes: Uint8Array): HostNames {
	let found = names.get(bytes);
	if (!found) {
		found = readNames(bytes);
		names.set(bytes, found);
	}
	return found;
}

/** `name` is field 1 of a VirtualHost and comes first in what is encoded here; `domains` is field 2. */
function readNames(bytes: Uint8Array): HostNames {
	const reader = new BinaryReader(bytes);
	let name = "";
	let bodyAt = 0;
	let isCatchAll = false;
	while (reader.pos < reader.len) {
		const [field, wire] = reader.tag();
		if (field === 1) {
			name = reader.string();
			bodyAt = reader.pos;
		} else if (field === 2) isCatchAll ||= reader.string() === "*";
		else reader.skip(wire);
	}
	return { name, isCatchAll, bodyAt };
}

const members = new WeakMap<Uint8Array, Map<string, EncodedResource>>();

/** A virtual host's bytes are one object while it stays the same, whatever becomes of its table. */
function memberOf(bytes: Uint8Array, table: string): EncodedResource {
	let byTable = members.get(bytes);
	if (!byTable) {
		byTable = new Map();
		members.set(bytes, byTable);
	}
	let member = byTable.get(table);
	if (!member) {
		member = encodeMember(bytes, table);
		byTable.set(table, member);
	}
	return member;
}

/** Its name becomes the resource's: Envoy takes away the virtual host whose name is that of the removed resource. */
function encodeMember(bytes: Uint8Array, table: string): EncodedResource {
	stats.encodes.vhds++;
	const { name: host, bodyAt } = namesOf(bytes);
	const name = `${table}/${host}`;
	const named = Buffer.concat([new BinaryWriter().uint32(10).string(name).finish(), bytes.subarray(bodyAt)]);
	return { name, version: versionOf(named), bytes: named };
}

/** A table that was encoded as a whole (after patches), taken apart again. */
function parseTable(bytes: Uint8Array): TableParts {
	const reader = new BinaryReader(bytes);
	const virtualHosts: Uint8Array[] = [];
	const rest: Uint8Array[] = [];
	while (reader.pos < reader.len) {
		const from = reader.pos;
		const [field, wire] = reader.tag();
		if (field === 2) virtualHosts.push(reader.bytes());
		else {
			reader.skip(wire);
			rest.push(bytes.subarray(from, reader.pos));
		}
	}
	return { head: new Uint8Array(), virtualHosts, tail: Buffer.concat(rest) };
}
