import { messageFns, stripTypeUrl } from "./any.ts";
import { enumName, type FieldSchema, messageSchema } from "./schema.ts";
import { unknownFields } from "./unknown-fields.ts";

/**
 * The constraints that Envoy's messages carry (`validate.rules`, https://github.com/bufbuild/protoc-gen-validate): part of
 * what Envoy accepts, so part of accept or NACK. Every violation is listed, with its path; nested messages and registered
 * Any payloads are checked too. So are fields that Envoy has and the messages lack: nothing is dropped in silence, but for what
 * Envoy does not know either. Nothing is listed for a type without a schema.
 */
export function validateConstraints(typeName: string, message: unknown): string[] {
	const found: string[] = [];
	checkMessage(typeName, message, "", found, 0);
	return found;
}

const depthMax = 100;

type Fields = Readonly<Record<string, unknown>>;
type Rules = Readonly<Record<string, unknown>>;

function checkMessage(typeName: string, message: unknown, path: string, found: string[], depth: number): void {
	if (depth > depthMax || message === undefined || message === null) return;
	if (typeName === "google.protobuf.Any") return checkAny(message as { typeUrl: string; value: Uint8Array }, path, found, depth);
	// As Envoy reads every duration, whatever its field's rules.
	if (typeName === "google.protobuf.Duration" && isNegative(message as Duration)) found.push(`${path}: Invalid duration: Expected positive duration`);
	if (typeName.startsWith("google.protobuf.")) return;
	const schema = messageSchema(typeName);
	if (!schema) return;
	const short = typeName.slice(typeName.lastIndexOf(".") + 1);
	const fields = message as Fields;
	for (const oneof of schema.required ?? []) {
		const members = schema.fields.filter((f) => f.oneof === oneof);
		// Annotated oneofs whose members are all gone (reserved) cannot be satisfied.
		if (members.length > 0 && members.every((f) => fields[f.json] === undefined)) {
			found.push(`${short}ValidationError.${at(path, pascal(oneof))}: value is required`);
		}
	}
	if (schema.later !== undefined) {
		for (const number of unknownFields(message)) {
			const name = schema.later[number];
			if (name !== undefined) found.push(`${at(path, camel(name))}: ${name} is not implemented`);
		}
	}
	const lifted = relaxed[typeName] ?? [];
	for (const field of schema.fields) if (!lifted.includes(field.json)) checkField(short, field, fields[field.json], at(path, field.json), found, depth);
}

/** Fields whose rules later releases of Envoy dropped, and which istiod leaves empty since. */
const relaxed: Readonly<Record<string, readonly string[]>> = {
	"envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig": ["resolvers"],
	"envoy.config.trace.v3.ZipkinConfig": ["collectorCluster", "collectorEndpoint"],
};

const at = (path: string, name: string) => (path === "" ? name : `${path}.${name}`);
const camel = (name: string) => name.replace(/_([a-z0-9])/g, (_, c: string) => c.toUpperCase());
const pascal = (name: string) => name.replace(/(?:^|_)([a-z])/g, (_, c: string) => c.toUpperCase());

function checkAny(any: { typeUrl: string; value: Uint8Array }, path: string, found: string[], depth: number): void {
	const typeName = stripTypeUrl(any.typeUrl);
	const fns = messageFns(typeName);
	if (!fns) return;
	try {
		checkMessage(typeName, fns.decode(any.value), path, found, depth + 1);
	} catch (error) {
		found.push(`${path}: bytes are not a ${typeName}: ${(error as Error).message}`);
	}
}

function checkField(owner: string, field: FieldSchema, value: unknown, path: string, found: string[], depth: number): void {
	const report = (where: string) => (reason: string) => void found.push(`${owner}ValidationError.${where}: ${reason}`);
	const rules = field.rules;
	if (field.map) {
		const entries = Object.entries((value ?? {}) as Fields);
		if (rules) checkMap(rules["map"] as Rules | undefined, entries.length, report(path));
		if (field.kind === "message") for (const [key, v] of entries) checkMessage(field.type ?? "", v, `${path}["${key}"]`, found, depth + 1);
		return;
	}
	if (field.repeated) {
		const items = (value ?? []) as readonly unknown[];
		const repeated = rules?.["repeated"] as Rules | undefined;
		if (repeated) checkList(repeated, items, report(path));
		const itemRules = repeated?.["items"] as Rules | undefined;
		items.forEach((item, i) => {
			if (itemRules) checkValue(itemRules, field, item, report(`${path}[${i}]`));
			if (field.kind === "message") checkMessage(field.type ?? "", item, `${path}[${i}]`, found, depth + 1);
		});
		return;
	}
	if (rules) checkValue(rules, field, value, report(path));
	if (field.kind === "message") checkMessage(field.type ?? "", value, path, found, depth + 1);
}

type Report = (reason: string) => void;

function checkMap(rules: Rules | undefined, size: number, report: Report): void {
	const min = rules?.["minPairs"];
	if (min !== undefined && size < Number(min)) report(`value must contain at least ${min} pair(s)`);
}

function checkList(rules: Rules, items: readonly unknown[], report: Report): void {
	const { minItems, maxItems, unique } = rules;
	if (minItems !== undefined && items.length < Number(minItems)) report(`value must contain at least ${minItems} item(s)`);
	if (maxItems !== undefined && items.length > Number(maxItems)) report(`value must contain no more than ${maxItems} item(s)`);
	if (unique === true && new Set(items).size !== items.length) report("repeated value must contain unique items");
}

function checkValue(rules: Rules, field: FieldSchema, value: unknown, report: Report): void {
	for (const [kind, rule] of Object.entries(rules)) {
		const r = rule as Rules;
		if (kind === "message" || kind === "any") {
			// Inside a oneof the rule speaks of the member that is chosen.
			if (r["required"] === true && value === undefined && field.oneof === undefined) report("value is required");
		} else if (kind === "duration") checkDuration(r, value as Duration | undefined, report);
		// A member of a oneof, a wrapper or an optional field that is not set breaks no rule.
		else if (value === undefined) continue;
		else if (kind === "enum") checkEnum(r, field, value as number, report);
		else if (kind === "string") checkString(r, value as string, report);
		else if (kind === "bytes") checkBytes(r, value as Uint8Array, report);
		else if (kind === "bool") {
			if (r["const"] !== undefined && value !== r["const"]) report(`value must equal ${r["const"]}`);
		} else checkNumber(r, value as number | bigint, report);
	}
}

interface Duration {
	readonly seconds: bigint;
	readonly nanos: number;
}

const isNegative = ({ seconds, nanos }: Duration): boolean => seconds < 0n || nanos < 0;

function checkDuration(rules: Rules, value: Duration | undefined, report: Report): void {
	if (value === undefined) {
		if (rules["required"] === true) report("value is required");
		return;
	}
	const nanos = value.seconds * 1_000_000_000n + BigInt(value.nanos);
	const limits = Object.fromEntries(
		Object.entries(rules)
			.filter(([, text]) => typeof text === "string")
			.map(([op, text]) => [op, BigInt(Math.round(Number((text as string).slice(0, -1)) * 1e9))]),
	);
	checkRange(limits, nanos, report, (op) => String(rules[op]));
}

function checkNumber(rules: Rules, value: number | bigint, report: Report): void {
	const limits = Object.fromEntries(Object.entries(rules).map(([op, n]) => [op, typeof value === "bigint" ? BigInt(n as string) : Number(n)]));
	checkRange(limits, value, report, (op) => String(rules[op]));
}

function checkRange(limits: Readonly<Record<string, number | bigint>>, value: number | bigint, report: Report, show: (op: string) => string): void {
	const { gt, gte, lt, lte } = limits;
	if (gt !== undefined && !(value > gt)) report(`value must be greater than ${show("gt")}`);
	if (gte !== undefined && lte !== undefined) {
		if (!(value >= gte && value <= lte)) report(`value must be inside range [${show("gte")}, ${show("lte")}]`);
		return;
	}
	if (gte !== undefined && !(value >= gte)) report(`value must be greater than or equal to ${show("gte")}`);
	if (lt !== undefined && !(value < lt)) report(`value must be less than ${show("lt")}`);
	if (lte !== undefined && !(value <= lte)) report(`value must be less than or equal to ${show("lte")}`);
}

function checkEnum(rules: Rules, field: FieldSchema, value: number, report: Report): void {
	if (rules["definedOnly"] === true && enumName(field.type ?? "", value) === undefined) report("value must be one of the defined enum values");
	const notIn = rules["notIn"];
	if (Array.isArray(notIn) && notIn.includes(value)) report(`value must not be in list [${notIn.join(" ")}]`);
}

// RFC 7230 tokens plus the pseudo headers' colon; without `strict` only what would break the message is refused.
const headerName = /^:?[0-9a-zA-Z!#$%&'*+\-.^_|~`]+$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const headerBreaks = /[\u0000\n\r]/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const headerValueBad = /[\u0000-\u0008\u000a-\u001f\u007f]/;

function checkString(rules: Rules, value: string, report: Report): void {
	const { minLen, maxLen, maxBytes, pattern, wellKnownRegex, strict } = rules;
	if (minLen !== undefined && [...value].length < Number(minLen)) report(`value length must be at least ${minLen} characters`);
	if (maxLen !== undefined && [...value].length > Number(maxLen)) report(`value length must be at most ${maxLen} characters`);
	if (maxBytes !== undefined && Buffer.byteLength(value) > Number(maxBytes)) report(`value length must be at most ${maxBytes} bytes`);
	if (Array.isArray(rules["in"]) && !rules["in"].includes(value)) report(`value must be in list [${rules["in"].join(" ")}]`);
	// The patterns come with the schema, not from users.
	if (typeof pattern === "string" && !new RegExp(pattern, "u").test(value)) report(`value does not match regex pattern "${pattern}"`);
	if (wellKnownRegex !== undefined && value !== "") {
		const bad = strict === false ? headerBreaks.test(value) : wellKnownRegex === "HTTP_HEADER_NAME" ? !headerName.test(value) : headerValueBad.test(value);
		if (bad) report(`value is not a valid ${wellKnownRegex === "HTTP_HEADER_NAME" ? "HTTP header name" : "HTTP header value"}`);
	}
}

function checkBytes(rules: Rules, value: Uint8Array, report: Report): void {
	const { minLen, maxLen } = rules;
	if (minLen !== undefined && value.length < Number(minLen)) report(`value length must be at least ${minLen} bytes`);
	if (maxLen !== undefined && value.length > Number(maxLen)) report(`value length must be at most ${maxLen} bytes`);
}
