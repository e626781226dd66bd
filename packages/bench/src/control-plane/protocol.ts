/** `endpoints`: one of each service. */
export type Change = "route" | "endpoint" | "endpoints";

/** What the three processes of this benchmark say to each other (node:child_process messages). */
export type ToServer =
	| { readonly kind: "change"; readonly what: Change; readonly generation: number }
	| { readonly kind: "churn"; readonly perSecond: number; readonly seconds: number }
	| { readonly kind: "usage" };
export type FromServer =
	| { readonly kind: "listening"; readonly address: string; readonly readyMs: number }
	/** The store has the change; epoch ms. */
	| { readonly kind: "changed"; readonly atMs: number }
	/** The last of a row of changes is in the store. */
	| { readonly kind: "churned"; readonly atMs: number; readonly changes: number; readonly loopDelayP99Ms: number }
	| {
			readonly kind: "usage";
			readonly cpuMs: number;
			readonly rssMb: number;
			readonly peakRssMb: number;
			readonly builds: number;
			readonly encodes: number;
			/** Since the last change of all services. */
			readonly loopDelayMaxMs: number;
	  };

export type ToClients = { readonly kind: "reset" } | { readonly kind: "report" };
export type FromClients =
	/** Every client has clusters, endpoints, listeners and routes. */
	| { readonly kind: "configured"; readonly atMs: number }
	| { readonly kind: "report"; readonly acks: readonly { readonly client: number; readonly type: string; readonly atMs: number; readonly bytes: number }[] };
