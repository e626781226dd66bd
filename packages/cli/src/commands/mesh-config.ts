import { readFileSync } from "node:fs";
import { hasErrors, type MeshConfig, type MeshNetworks } from "@weft/api";
import { decodeMeshConfig, decodeMeshNetworks } from "@weft/galley";
import { CommandError, printDiagnostics } from "../output/errors.ts";

/** The mesh's configuration from a file, or Istio's chart defaults: metrics to Prometheus. */
export function readMeshConfig(file: string | undefined): MeshConfig {
	if (file === undefined) return { defaultProviders: { metrics: ["prometheus"] } };
	const { value, diagnostics } = decodeMeshConfig(readText(file), file);
	printDiagnostics(diagnostics);
	if (value === undefined || hasErrors(diagnostics)) throw new CommandError(`${file}: not a usable MeshConfig`);
	return value;
}

/** Which endpoints are in which network, from a file; undefined: none is declared. */
export function readMeshNetworks(file: string | undefined): MeshNetworks | undefined {
	if (file === undefined) return undefined;
	const { value, diagnostics } = decodeMeshNetworks(readText(file), file);
	printDiagnostics(diagnostics);
	if (hasErrors(diagnostics)) throw new CommandError(`${file}: not usable MeshNetworks`);
	return value;
}

function readText(file: string): string {
	try {
		return readFileSync(file, "utf8");
	} catch (error) {
		throw new CommandError(`${file}: cannot be read: ${error instanceof Error ? error.message : String(error)}`);
	}
}
