import type { ExtensionProvider, MeshConfig } from "@weft/api";

/** Known to every mesh without being declared. */
const builtIn: readonly ExtensionProvider[] = [
	{ name: "prometheus", prometheus: {} },
	{ name: "envoy", envoyFileAccessLog: { path: "/dev/stdout" } },
];

/** A provider by its name, whose case does not count. */
export function findProvider(mesh: MeshConfig, name: string): ExtensionProvider | undefined {
	const wanted = name.toLowerCase();
	const isIt = (provider: ExtensionProvider) => provider.name.toLowerCase() === wanted;
	return mesh.extensionProviders?.find(isIt) ?? builtIn.find(isIt);
}
