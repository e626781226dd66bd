export interface OwnerReference {
	readonly apiVersion: string;
	readonly kind: string;
	readonly name: string;
	readonly uid?: string;
	readonly controller?: boolean;
}

export interface ObjectMeta {
	readonly name: string;
	/** Empty for cluster-scoped kinds. */
	readonly namespace: string;
	readonly labels: Readonly<Record<string, string>>;
	readonly annotations: Readonly<Record<string, string>>;
	/** RFC 3339. */
	readonly creationTimestamp?: string;
	readonly generateName?: string;
	readonly uid?: string;
	readonly resourceVersion?: string;
	readonly generation?: number;
	readonly ownerReferences?: readonly OwnerReference[];
}

/** Where an object's document begins; line and column are 1-based. */
export interface Origin {
	readonly file: string;
	readonly line: number;
	readonly column: number;
}
