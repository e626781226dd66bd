import type { RbacRule } from "../../../config/http-filters.ts";
import type { StringMatch } from "../../../config/matchers.ts";
import { readHeaderValues } from "../../match/header-match.ts";
import { createRequestView } from "../../headers/headers-view.ts";
import { filterStateOf } from "../../log/filter-state.ts";
import type { StreamInfo } from "../../log/stream-info.ts";

/** What a request is looked up by: one of its texts, and how it is read. */
export interface Attribute {
	/** Tells it from others. */
	readonly id: string;
	/** Everything that a rule on it may be held against. */
	read(info: StreamInfo): readonly string[];
}

/** A rule can only match where the attribute is one of these texts, or begins with one. */
export interface Guard {
	readonly attribute: Attribute;
	readonly exact: readonly string[];
	readonly prefixes: readonly string[];
}

/** By the attribute's id. Any one of them must hold for the rule to match; none: nothing is known. */
type Guards = ReadonlyMap<string, Guard>;

const none: Guards = new Map();
/** Of a connection that carries no requests. */
export const noHead = createRequestView({ method: "", path: "", authority: "", scheme: "" });

/** The path alone: a query or fragment is nobody's business here. undefined: there is no request. */
export function pathOf({ request }: StreamInfo): string | undefined {
	if (request === undefined) return undefined;
	const { path } = request;
	const end = path.search(/[?#]/);
	return end < 0 ? path : path.slice(0, end);
}

const path: Attribute = {
	id: "path",
	read(info) {
		const value = pathOf(info);
		return value === undefined ? [] : [value];
	},
};

const peer: Attribute = {
	id: "peer",
	read: ({ connection: { tls } }) => (tls === undefined ? [] : [...tls.peerUriSans, ...tls.peerDnsSans, tls.peerSubject]),
};

function headerAttribute(name: string): Attribute {
	const read = readHeaderValues(name);
	return { id: `header ${name.toLowerCase()}`, read: ({ request }) => read(request ?? noHead) };
}

function stateAttribute(key: string): Attribute {
	return {
		id: `state ${key}`,
		read(info) {
			const value = filterStateOf(info, key);
			return value === undefined ? [] : [value];
		},
	};
}

function inLowerCase({ id, read }: Attribute): Attribute {
	return { id: `${id} in lower case`, read: (info) => read(info).map((value) => value.toLowerCase()) };
}

/** The narrowest of what must hold for all of these lists to have a rule that matches; undefined: nothing is known. */
export function guardOf(lists: readonly (readonly RbacRule[])[]): Guard | undefined {
	const guards = both(lists.map((rules) => either(rules.map(guardsOf))));
	const sizeOf = ({ exact, prefixes }: Guard) => exact.length + prefixes.length;
	return [...guards.values()].sort((a, b) => sizeOf(a) - sizeOf(b))[0];
}

function guardsOf(rule: RbacRule): Guards {
	switch (rule.kind) {
		case "and":
			return both(rule.rules.map(guardsOf));
		case "or":
			return either(rule.rules.map(guardsOf));
		case "urlPath":
			return guardOfText(path, rule.match);
		case "authenticated":
			return rule.name === undefined ? none : guardOfText(peer, rule.name);
		case "filterState":
			return guardOfText(stateAttribute(rule.key), rule.match);
		case "header": {
			const { name, match, invert, treatMissingAsEmpty } = rule.header;
			if (invert || treatMissingAsEmpty || match.kind === "present" || match.kind === "range") return none;
			return guardOfText(headerAttribute(name), match);
		}
		default:
			return none;
	}
}

function guardOfText(attribute: Attribute, match: StringMatch): Guards {
	if (match.kind !== "exact" && match.kind !== "prefix") return none;
	const read = match.ignoreCase ? inLowerCase(attribute) : attribute;
	const values = [match.ignoreCase ? match.value.toLowerCase() : match.value];
	const guard = match.kind === "exact" ? { attribute: read, exact: values, prefixes: [] } : { attribute: read, exact: [], prefixes: values };
	return new Map([[read.id, guard]]);
}

/** All must match, so each guard of any of them holds. */
function both(all: readonly Guards[]): Guards {
	return new Map(all.flatMap((guards) => [...guards]));
}

/** One must match: what is known of all of them, taken together. */
function either(all: readonly Guards[]): Guards {
	const [first, ...others] = all;
	if (first === undefined) return none;
	const shared = [...first].flatMap(([id, { attribute }]): [string, Guard][] => {
		const parts = all.flatMap((guards) => guards.get(id) ?? []);
		if (parts.length < others.length + 1) return [];
		return [[id, { attribute, exact: parts.flatMap(({ exact }) => exact), prefixes: parts.flatMap(({ prefixes }) => prefixes) }]];
	});
	return new Map(shared);
}
