import type { ResourceSource } from "./resource-source.ts";
import type { RuntimeEntries } from "./runtime-values.ts";

/** A layer of Envoy's runtime (`layered_runtime`); later ones go before earlier ones. */
export type RuntimeLayer = { readonly name: string } & (
	| { readonly kind: "static"; readonly entries: RuntimeEntries }
	/** What `/runtime_modify` sets. */
	| { readonly kind: "admin" }
	/** The files of a folder; `link` is the symbolic link on the way to it that is swapped for another. */
	| { readonly kind: "disk"; readonly link: string; readonly folder: string }
	/** Discovered (RTDS). */
	| { readonly kind: "discovered"; readonly resource: string; readonly source: ResourceSource }
);
