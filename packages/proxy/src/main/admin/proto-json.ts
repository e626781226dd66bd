import { type Any, type FieldSchema, type Json, messageSchema, stripTypeUrl, toJson } from "@weft/xds";

type JsonObject = { readonly [key: string]: Json };

/** Admin answers use the proto's field names, as Envoy's do (`last_updated`); the rest of the JSON mapping is the same. */
export function protoJson(typeName: string, message: unknown): Json {
	return renamed(typeName, toJson(typeName, message));
}

export function anyJson(any: Any): Json {
	return renamed("google.protobuf.Any", toJson("google.protobuf.Any", any));
}

function renamed(typeName: string, json: Json): Json {
	if (!isObject(json)) return json;
	if (typeName === "google.protobuf.Any") {
		const type = json["@type"];
		const { "@type": _, ...rest } = json;
		return { "@type": type ?? null, ...(renamed(typeof type === "string" ? stripTypeUrl(type) : "", rest) as JsonObject) };
	}
	const schema = messageSchema(typeName);
	// Structs and types that nobody knows stay as they are.
	if (schema === undefined || typeName.startsWith("google.protobuf.")) return json;
	const byJson = new Map(schema.fields.map((field) => [field.json, field]));
	return Object.fromEntries(
		Object.entries(json).map(([key, value]) => {
			const field = byJson.get(key);
			return field === undefined ? [key, value] : [field.name, fieldValue(field, value)];
		}),
	);
}

function fieldValue(field: FieldSchema, value: Json): Json {
	if (field.kind !== "message") return value;
	const type = field.type ?? "";
	if (field.map && isObject(value)) return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, renamed(type, entry)]));
	if (field.repeated && Array.isArray(value)) return value.map((item: Json) => renamed(type, item));
	return renamed(type, value);
}

function isObject(json: Json): json is JsonObject {
	return typeof json === "object" && json !== null && !Array.isArray(json);
}
