/** `exportTo` (https://istio.io/latest/docs/reference/config/networking/service-entry/): `*` all, `.` own namespace, `~` none, else names. */
export function isVisible(exportTo: readonly string[], ownNamespace: string, namespace: string): boolean {
	if (exportTo.length === 0) return true;
	for (const entry of exportTo) {
		if (entry === "*" || entry === namespace) return true;
		if (entry === "." && ownNamespace === namespace) return true;
	}
	return false;
}
