// Computed status and the object's present one: what a write must keep of it. https://gateway-api.sigs.k8s.io/guides/api-design/

type Fields = Readonly<Record<string, unknown>>;

/** Entries of routes and policies that other controllers write beside ours. */
const sharedLists = ["parents", "ancestors"] as const;

/**
 * The status to write: conditions that did not change keep their time, new ones are of `now` (RFC 3339), and entries of other
 * controllers stay. Undefined where the object says all of it already.
 */
export function mergeStatus(computed: object, present: unknown, now: string): object | undefined {
	const before = isFields(present) ? present : {};
	const timed = withTimes(computed, before, now) as Fields;
	const merged = { ...timed, ...Object.fromEntries(sharedLists.filter((name) => name in timed).map((name) => [name, withOthers(timed[name], before[name])])) };
	const isSame = Object.entries(merged).every(([name, value]) => holds(before[name], value));
	return isSame ? undefined : merged;
}

function withOthers(own: unknown, present: unknown): unknown {
	if (!Array.isArray(own) || !Array.isArray(present)) return own;
	const controllers = new Set(own.map((entry) => (entry as Fields)["controllerName"]));
	return [...present.filter((entry) => isFields(entry) && !controllers.has(entry["controllerName"])), ...own];
}

function withTimes(value: unknown, before: unknown, now: string): unknown {
	if (Array.isArray(value)) {
		const known = Array.isArray(before) ? before : [];
		return value.map((entry: unknown) =>
			withTimes(
				entry,
				known.find((candidate) => isSameEntry(entry, candidate)),
				now,
			),
		);
	}
	if (!isFields(value)) return value;
	const fields = isFields(before) ? before : {};
	const timed = Object.fromEntries(Object.entries(value).map(([name, field]) => [name, withTimes(field, fields[name], now)]));
	const isCondition = typeof value["type"] === "string" && typeof value["status"] === "string";
	if (!isCondition) return timed;
	const time = fields["lastTransitionTime"];
	return { ...timed, lastTransitionTime: fields["status"] === value["status"] && typeof time === "string" ? time : now };
}

/** Conditions by type, listeners by name, parents and ancestors by what they refer to and who says it. */
function isSameEntry(a: unknown, b: unknown): boolean {
	if (!isFields(a) || !isFields(b)) return false;
	if ("reason" in a) return a["type"] === b["type"];
	const reference = a["parentRef"] ?? a["ancestorRef"];
	if (reference === undefined) return a["name"] === b["name"];
	return a["controllerName"] === b["controllerName"] && holds(b["parentRef"] ?? b["ancestorRef"], reference);
}

/** Does the present value say everything that the wanted one says? The API server adds defaults. */
export function holds(present: unknown, wanted: unknown): boolean {
	if (Array.isArray(wanted)) return Array.isArray(present) && present.length === wanted.length && wanted.every((entry, i) => holds(present[i], entry));
	if (isFields(wanted)) return isFields(present) && Object.entries(wanted).every(([name, value]) => value === undefined || holds(present[name], value));
	return present === wanted;
}

function isFields(value: unknown): value is Fields {
	return typeof value === "object" && value !== null && !Array.isArray(value);
}
