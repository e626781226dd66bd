import { BinaryReader } from "@bufbuild/protobuf/wire";

/** Every xDS resource type has its name (or cluster_name) as field 1; read without decoding the rest. */
export function resourceName(bytes: Uint8Array): string {
	const reader = new BinaryReader(bytes);
	while (reader.pos < reader.len) {
		const [field, wire] = reader.tag();
		if (field === 1 && wire === 2) return reader.string();
		reader.skip(wire);
	}
	return "";
}
