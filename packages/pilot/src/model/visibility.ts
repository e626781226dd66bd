import type { PushSnapshot, VirtualService } from "./push.ts";

/** `exportTo` (https://istio.io/latest/docs/reference/config/networking/service-entry/): `*` all, `.` own namespace, `~` none, else names. */
export function isVisible(exportTo: readonly string[], ownNamespace: string, namespace: string): boolean {
	if (exportTo.length === 0) return true;
	for (const entry of exportTo) {
		if (entry === "*" || entry === namespace) return true;
		if (entry === "." && ownNamespace === namespace) return true;
	}
	return false;
}

/**
 * VirtualServices of a gateway (or `mesh`) that a namespace may see: its own private ones, those exported to it by name, its own routes of the
 * Gateway API (by which a consumer overrules), then the others; each oldest first.
 */
export function visibleVirtualServices(
	{ virtualServices }: Pick<PushSnapshot, "virtualServices">,
	gateway: string,
	namespace: string,
): readonly VirtualService[] {
	const visible = virtualServices.filter((vs) => vs.gateways.includes(gateway) && isVisible(vs.exportTo, vs.namespace, namespace));
	const rank = ({ exportTo, semantics, namespace: own }: VirtualService): number => {
		if (!exportTo.includes("*") && exportTo.length > 0) return own === namespace ? 0 : 1;
		return semantics === "gateway" && own === namespace ? 2 : 3;
	};
	return visible.toSorted((a, b) => rank(a) - rank(b));
}
