/** Which rule of which policy a key in the proxy's RBAC configuration stands for, as Istio writes them: `ns[foo]-policy[bar]-rule[0]`. */
export interface PolicyId {
	readonly namespace: string;
	readonly name: string;
	/** Index in `spec.rules`. */
	readonly rule: number;
	/** Of a CUSTOM policy. */
	readonly provider: string | undefined;
}

export function parsePolicyId(id: string): PolicyId | undefined {
	const found = /^(?:istio-ext-authz-(.*?)-?)?ns\[(.+)\]-policy\[(.+)\]-rule\[(\d+)\]/.exec(id);
	if (!found) return undefined;
	const [, provider, namespace = "", name = "", rule = ""] = found;
	return { namespace, name, rule: Number(rule), provider };
}
