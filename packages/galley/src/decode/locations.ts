import { type AnyConfig, type Diagnostic, formatPath, type Location, type Path } from "@weft/api";

// A parsed document is ten times its text, so it is held only from decoding until the verdict on its objects.
const locations = new WeakMap<AnyConfig, Location>();

export function rememberLocation(object: AnyConfig, location: Location): void {
	locations.set(object, location);
}

/** For an object that is replaced by a changed copy. */
export function moveLocation(from: AnyConfig, to: AnyConfig): void {
	const location = locations.get(from);
	if (location) locations.set(to, location);
	locations.delete(from);
}

export function forgetLocation(object: AnyConfig): void {
	locations.delete(object);
}

/** A diagnostic about a part of `object`, with the line of that part as long as the text is at hand, else of the object. */
export function diagnosticAt(object: AnyConfig, severity: Diagnostic["severity"], code: string, path: Path, message: string): Diagnostic {
	const place = locations.get(object)?.position?.(path, false);
	return {
		severity,
		code,
		message,
		path: formatPath(path),
		kind: object.kind,
		name: object.metadata.name,
		namespace: object.metadata.namespace,
		...object.origin,
		...place,
	};
}
