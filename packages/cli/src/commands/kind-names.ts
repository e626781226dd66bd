import { type Kind, kindInfo, kindNames, objectKindOf } from "@weft/api";
import { CommandError } from "../output/errors.ts";

/** What kubectl takes for a kind: its name, plural and short names, each also with its group behind a dot. */
function namesOf(kind: Kind): readonly string[] {
	const { plural, shortNames, group } = kindInfo(kind);
	const names = [objectKindOf(kind), plural, ...shortNames].map((name) => name.toLowerCase());
	return [kind.toLowerCase(), ...names, ...names.map((name) => `${name}.${group}`)];
}

/** `vs`, `virtualservice`, `virtualservices`, `VirtualService`, `virtualservices.networking.istio.io` → VirtualService. The first kind of a name wins. */
export function resolveKind(text: string): Kind {
	const wanted = text.toLowerCase();
	const found = kindNames.find((kind) => namesOf(kind).includes(wanted));
	if (found === undefined) throw new CommandError(`the mesh has no kind "${text}"; kinds: ${[...new Set(kindNames.map(objectKindOf))].join(", ")}`, 2);
	return found;
}
