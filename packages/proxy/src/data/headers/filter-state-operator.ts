import { filterStateObject } from "../log/filter-state.ts";
import { portOf, withoutPort } from "./address-text.ts";
import type { Compile } from "./operators.ts";

/** JSON of a text: in quotes where it is written out among other text, a string where it is part of a JSON log. */
export class TypedText {
	readonly #text: string;

	constructor(text: string) {
		this.#text = text;
	}

	toJSON(): string {
		return this.#text;
	}
}

/** `FILTER_STATE(key:PLAIN|TYPED|FIELD:name)`: an object's text, its JSON, or one of its fields, which addresses alone have. */
export const filterStateOperator: Compile = ({ argument }) => {
	const [key = "", serialization = "TYPED", field = ""] = (argument ?? "").split(":");
	if (key === "") return "%FILTER_STATE% needs a key";
	if (serialization === "FIELD") {
		if (field === "") return "Invalid filter state serialize type, FIELD should be used with the field name.";
		return (info) => {
			const object = filterStateObject(info, key);
			return object?.kind === "address" ? addressField(object.text, field) : undefined;
		};
	}
	if (serialization !== "PLAIN" && serialization !== "TYPED") return `%FILTER_STATE(${argument ?? ""})% must end in PLAIN, TYPED or FIELD:name`;
	return (info) => {
		const object = filterStateObject(info, key);
		if (object === undefined) return undefined;
		const { kind, text } = object;
		if (serialization === "PLAIN") return kind === "json" ? undefined : text;
		if (kind === "plain" || kind === "address") return undefined;
		if (kind === "number") return Number(text);
		return kind === "json" ? (JSON.parse(text) as object) : new TypedText(text);
	};
};

function addressField(address: string, field: string): string | undefined {
	if (field === "ip") return withoutPort(address);
	return field === "port" ? String(portOf(address)) : undefined;
}
