// Generates src/generated from the .proto files that @grpc/grpc-js-xds ships and from proto/:
// one TypeScript module a .proto (ts-proto), and schema.json, the descriptors that the JSON codec
// and the constraint checks read. Runs on any Node ≥ 20. Skips itself when nothing changed.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { createFileRegistry, fromBinary, getExtension, hasExtension, toJson } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";

const here = dirname(dirname(fileURLToPath(import.meta.url)));
const require = createRequire(import.meta.url);
const deps = join(dirname(require.resolve("@grpc/grpc-js-xds/package.json")), "deps");
const out = join(here, "src", "generated");
const work = join(here, ".proto-work");

// These five import protos that the package does not ship (prometheus, opencensus, opentelemetry's trace service).
const left = [
	"envoy/config/trace/v3/trace.proto",
	"envoy/config/trace/v3/opencensus.proto",
	"envoy/service/metrics/v3/metrics_service.proto",
	"envoy/service/trace/v3/trace_service.proto",
];

function protoFiles(dir, base = dir) {
	return readdirSync(dir, { withFileTypes: true }).flatMap((entry) => {
		const path = join(dir, entry.name);
		if (entry.isDirectory()) return protoFiles(path, base);
		return entry.name.endsWith(".proto") ? [relative(base, path)] : [];
	});
}

/** The merged, repaired tree of sources. */
function collect() {
	rmSync(work, { recursive: true, force: true });
	const roots = [
		[join(deps, "envoy-api"), (f) => (f.includes("/v3/") && !left.includes(f)) || f.startsWith("envoy/annotations/")],
		[join(deps, "xds"), () => true],
		[join(deps, "googleapis"), (f) => /^google\/(api\/(annotations|http|httpbody|expr\/v1alpha1\/\w+)|rpc\/status)\.proto$/.test(f)],
		[join(deps, "protoc-gen-validate"), (f) => f === "validate/validate.proto"],
		[join(here, "proto"), () => true],
	];
	for (const [root, wanted] of roots) {
		for (const file of protoFiles(root).filter(wanted)) {
			const target = join(work, file);
			mkdirSync(dirname(target), { recursive: true });
			// The bundled validate.proto predates `ignore_empty` at two places that use it.
			const text = readFileSync(join(root, file), "utf8").replaceAll(/,?\s*ignore_empty: true/g, "");
			writeFileSync(target, patch(file, text));
		}
	}
	writeFileSync(join(work, "buf.yaml"), "version: v2\n");
}

// Fields that Envoy gained after the packaged protos and that the mesh uses, in a message or in the file's first oneof of a name;
// and constraints that it dropped (`loosen`: from, to).
const additions = JSON.parse(readFileSync(join(here, "proto", "additions.json"), "utf8"));

// Fields of Envoy 1.40 that the messages lack even so, by number: whoever sets one is told its name.
const laterFields = JSON.parse(readFileSync(join(here, "proto", "later-fields.json"), "utf8"));

function patch(file, text) {
	for (const { message, oneof, fields, imports = [], loosen } of additions.filter((a) => a.file === file)) {
		const head = oneof === undefined ? `message ${message}` : `oneof ${oneof}`;
		const open = new RegExp(`(^|\\n)(\\s*)${head} \\{`);
		if (!open.test(text)) throw new Error(`${file}: no ${head} to extend`);
		if (loosen !== undefined && !text.includes(loosen[0])) throw new Error(`${file}: nothing to loosen in ${head}`);
		if (loosen !== undefined) text = text.replace(loosen[0], loosen[1]);
		text = text.replace(/\nimport /, `${imports.map((i) => `\nimport "${i}";`).join("")}\nimport `);
		text = text.replace(open, (start) => `${start}\n${fields.map((f) => `  ${f}`).join("\n")}\n`);
	}
	return text;
}

function digest() {
	const hash = createHash("sha256").update(readFileSync(fileURLToPath(import.meta.url)));
	for (const f of protoFiles(join(here, "proto")).sort()) hash.update(f).update(readFileSync(join(here, "proto", f)));
	hash.update(JSON.stringify([additions, laterFields]));
	for (const p of ["@grpc/grpc-js-xds", "ts-proto"]) hash.update(require(`${p}/package.json`).version);
	return hash.digest("hex");
}

function buf(...args) {
	const env = { ...process.env, PATH: `${join(here, "../../node_modules/.bin")}:${process.env.PATH}` };
	execFileSync("buf", args, { cwd: work, env, stdio: ["ignore", "inherit", "inherit"] });
}

const options = [
	"enumsAsLiterals=true",
	"outputJsonMethods=false",
	"outputServices=none",
	"outputTypeRegistry=false",
	"forceLong=bigint",
	"useDate=false",
	"importSuffix=.ts",
	"esModuleInterop=true",
	"useExactTypes=false",
	"annotateFilesWithVersion=false",
	"comments=false",
	"emitImportedFiles=true",
	"unrecognizedEnum=false",
];

function template(target) {
	return `version: v2
plugins:
  - local: protoc-gen-ts_proto
    out: ${target}
    strategy: all
    include_wkt: true
    include_imports: true
    opt: [${options.join(", ")}]
`;
}

const scalar = {
	1: "double",
	2: "float",
	3: "int64",
	4: "uint64",
	5: "int32",
	6: "fixed64",
	7: "fixed32",
	8: "bool",
	9: "string",
	12: "bytes",
	13: "uint32",
	15: "sfixed32",
	16: "sfixed64",
	17: "sint32",
	18: "sint64",
};

function compact(o) {
	return Object.fromEntries(Object.entries(o).filter(([, v]) => v !== undefined && v !== false));
}

/** Message and enum descriptors as the smallest JSON that the codec needs; `rules` is PGV's own JSON. */
function schema(image) {
	const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, image));
	const rulesOf = registry.getExtension("validate.rules");
	const requiredOf = registry.getExtension("validate.required");
	const messages = {};
	const enums = {};
	for (const type of registry) {
		if (type.kind === "enum") {
			enums[type.typeName] = Object.fromEntries(type.values.map((v) => [v.name, v.number]));
		} else if (type.kind === "message" && !type.typeName.startsWith("google.protobuf.")) {
			messages[type.typeName] = {
				file: type.file.name,
				fields: type.fields.map((f) => field(f, registry, rulesOf)),
				required: required(type, requiredOf),
				later: later(type),
			};
		}
	}
	return { messages, enums };
}

function later(type) {
	const fields = laterFields[type.typeName];
	const known = type.fields.find((f) => fields?.[f.number] !== undefined);
	if (known !== undefined) throw new Error(`later-fields.json: ${type.typeName} has ${known.name}`);
	return fields;
}

function required(type, extension) {
	const names = type.oneofs.filter((o) => o.proto.options && hasExtension(o.proto.options, extension) && getExtension(o.proto.options, extension));
	return names.length === 0 ? undefined : names.map((o) => o.name);
}

/** What is skipped in decoding is remembered (src/unknown-fields.ts). */
function keepNumbers(generated) {
	const skip = "reader.skip(tag & 7);";
	for (const file of readdirSync(generated, { recursive: true }).filter((name) => name.endsWith(".ts"))) {
		const path = join(generated, file);
		const text = readFileSync(path, "utf8");
		if (!text.includes(skip)) continue;
		const up = "../".repeat(file.split(/[\\/]/).length);
		const from = `import { BinaryReader, BinaryWriter } from "@bufbuild/protobuf/wire";\n`;
		if (!text.includes(from)) throw new Error(`${file}: no import to add to`);
		writeFileSync(
			path,
			text.replace(from, `${from}import { skipField } from "${up}unknown-fields.ts";\n`).replaceAll(skip, "skipField(reader, tag, message);"),
		);
	}
}

function field(f, registry, rulesOf) {
	const value = f.fieldKind === "map" ? f.mapKind : f.fieldKind === "list" ? f.listKind : f.fieldKind;
	const options = f.proto.options;
	const rules = options && hasExtension(options, rulesOf) ? toJson(rulesOf.message, getExtension(options, rulesOf), { registry }) : undefined;
	return compact({
		name: f.name,
		json: f.jsonName,
		number: f.number,
		kind: value === "scalar" ? scalar[f.scalar] : value,
		type: f.message?.typeName ?? f.enum?.typeName,
		repeated: f.fieldKind === "list",
		map: f.fieldKind === "map" ? scalar[f.mapKey] : undefined,
		oneof: f.oneof?.name,
		// Presence::EXPLICIT of a scalar or enum outside a oneof (proto3 `optional`): its zero value is printed.
		optional: (value === "scalar" || value === "enum") && !f.oneof && f.presence === 1 && f.fieldKind !== "list" && f.fieldKind !== "map",
		rules,
	});
}

function registryModule(messages) {
	const lines = ["// Generated: every message type by its full name. Never edited.", 'import type { MessageFns } from "../message.ts";'];
	const entries = [];
	const files = new Map();
	for (const [name, { file }] of Object.entries(messages).sort()) {
		if (/\.[A-Za-z0-9]+Entry$/.test(name) && !messages[name].fields.length) continue;
		if (!files.has(file)) files.set(file, `m${files.size}`);
		const pkg = packageOf(name, messages);
		entries.push(`\t${JSON.stringify(name)}: ${files.get(file)}.${name.slice(pkg.length).replace(/^\./, "").replaceAll(".", "_")} as MessageFns,`);
	}
	const wellKnown = {
		any: ["Any"],
		duration: ["Duration"],
		empty: ["Empty"],
		struct: ["ListValue", "Struct", "Value"],
		timestamp: ["Timestamp"],
		wrappers: ["BoolValue", "BytesValue", "DoubleValue", "FloatValue", "Int32Value", "Int64Value", "StringValue", "UInt32Value", "UInt64Value"],
	};
	for (const [file, types] of Object.entries(wellKnown)) {
		files.set(`google/protobuf/${file}`, file);
		for (const type of types) entries.push(`\t"google.protobuf.${type}": ${file}.${type} as MessageFns,`);
	}
	for (const [file, id] of files) lines.push(`import * as ${id} from "./${file}.ts";`);
	return `${lines.join("\n")}\n\nexport const allMessages: Readonly<Record<string, MessageFns>> = {\n${entries.join("\n")}\n};\n`;
}

/** The part of a full name that is the package: everything before the first name that is a message. */
function packageOf(name, messages) {
	const parts = name.split(".");
	for (let i = 1; i <= parts.length; i++) if (messages[parts.slice(0, i).join(".")]) return parts.slice(0, i - 1).join(".");
	return "";
}

const want = digest();
const stamp = join(out, ".digest");
if (existsSync(stamp) && readFileSync(stamp, "utf8") === want) process.exit(0);
collect();
mkdirSync(join(here, ".proto-work", "gen"), { recursive: true });
writeFileSync(join(work, "buf.gen.yaml"), template("gen"));
buf("build", "-o", "image.binpb");
buf("generate");
keepNumbers(join(work, "gen"));
rmSync(out, { recursive: true, force: true });
renameSync(join(work, "gen"), out);
const described = schema(readFileSync(join(work, "image.binpb")));
writeFileSync(join(out, "schema.json"), JSON.stringify(described));
writeFileSync(join(out, "registry.ts"), registryModule(described.messages));
rmSync(work, { recursive: true, force: true });
writeFileSync(stamp, want);
console.log(`generated ${Object.keys(described.messages).length} messages`);
