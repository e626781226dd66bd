import { kindNames } from "@weft/api";
import { CommandError } from "../output/errors.ts";

// Short names as the CRDs and kubectl have them.
const shortNames: Readonly<Record<string, string>> = {
	vs: "VirtualService",
	dr: "DestinationRule",
	se: "ServiceEntry",
	we: "WorkloadEntry",
	gw: "Gateway",
	pa: "PeerAuthentication",
	svc: "Service",
	po: "Pod",
	deploy: "Deployment",
	sa: "ServiceAccount",
	ns: "Namespace",
	ep: "Endpoints",
	rs: "ReplicaSet",
	sts: "StatefulSet",
	cm: "ConfigMap",
	no: "Node",
};

/** `vs`, `virtualservice`, `virtualservices`, `VirtualService`, `virtualservices.networking.istio.io` → VirtualService. */
export function resolveKind(text: string): string {
	const wanted = (text.split(".")[0] ?? text).toLowerCase();
	const short = shortNames[wanted];
	if (short !== undefined) return short;
	const found = kindNames.find((kind) => [kind, `${kind}s`, `${kind}es`, kind.replace(/y$/, "ies")].some((form) => form.toLowerCase() === wanted));
	if (found === undefined) throw new CommandError(`the mesh has no kind "${text}"; kinds: ${kindNames.join(", ")}`, 2);
	return found;
}
