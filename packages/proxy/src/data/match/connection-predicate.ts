import type { ConnectionPredicate } from "../../config/listeners.ts";

/** Whether the rule takes a connection to this port: the original destination's where there is one. */
export function matchConnection(predicate: ConnectionPredicate, destinationPort: number): boolean {
	switch (predicate.kind) {
		case "any":
			return true;
		case "destinationPort":
			return destinationPort >= predicate.start && destinationPort < predicate.end;
		case "or":
			return predicate.rules.some((rule) => matchConnection(rule, destinationPort));
		case "and":
			return predicate.rules.every((rule) => matchConnection(rule, destinationPort));
		case "not":
			return !matchConnection(predicate.rule, destinationPort);
	}
}
