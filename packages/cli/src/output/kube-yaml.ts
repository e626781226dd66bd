import { Document, isScalar, parse, Scalar, visit } from "yaml";

/**
 * YAML that kubectl reads as it is meant: it takes YAML 1.1's word for what a plain scalar is (off, 12:30), others take 1.2's.
 * A text that either would take for something else is quoted.
 */
export function renderKubeYaml(value: unknown): string {
	const document = new Document(value, { aliasDuplicateObjects: false });
	visit(document, {
		Scalar(_key, node) {
			if (isScalar(node) && typeof node.value === "string" && isAmbiguous(node.value)) node.type = Scalar.QUOTE_DOUBLE;
		},
	});
	return document.toString({ lineWidth: 0, indentSeq: false });
}

/** What could be read as a number, a truth value, a date or null is short and of these characters only. */
function isAmbiguous(text: string): boolean {
	if (text.length > 40 || !/^[-+.~\w:]*$/.test(text)) return false;
	return (["1.1", "core"] as const).some((schema) => {
		const read: unknown = schema === "core" ? parse(text) : parse(text, { version: "1.1" });
		return typeof read !== "string";
	});
}
