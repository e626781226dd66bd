import { filterStateObject } from "../log/filter-state.ts";
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

/** `FILTER_STATE(key:PLAIN|TYPED)`: an object's text, or its JSON. */
export const filterStateOperator: Compile = ({ argument }) => {
	const [key = "", serialization = "TYPED"] = (argument ?? "").split(":");
	if (key === "") return "%FILTER_STATE% needs a key";
	if (serialization !== "PLAIN" && serialization !== "TYPED") return `%FILTER_STATE(${argument ?? ""})% must end in PLAIN or TYPED`;
	return (info) => {
		const object = filterStateObject(info, key);
		if (object === undefined) return undefined;
		const { kind, text } = object;
		if (serialization === "PLAIN") return kind === "json" ? undefined : text;
		if (kind === "plain") return undefined;
		if (kind === "number") return Number(text);
		return kind === "json" ? (JSON.parse(text) as object) : new TypedText(text);
	};
};
