import type { AnyConfig, Diagnostic } from "@weft/api";
import { type DecodedYaml, decodeYaml } from "../decode/yaml-decoder.ts";
import { listFiles, readText, unreadable } from "./file-tree.ts";

/** All objects of files and directories (recursive: .yaml, .yml, .json; in the order of their paths). Never throws. */
export async function loadPaths(paths: readonly string[]): Promise<DecodedYaml> {
	const tree = await listFiles(paths);
	const objects: AnyConfig[] = [];
	const diagnostics: Diagnostic[] = [...tree.diagnostics];
	for (const file of tree.files) {
		try {
			const decoded = decodeYaml(await readText(file), file.path);
			objects.push(...decoded.objects);
			diagnostics.push(...decoded.diagnostics);
		} catch (error) {
			diagnostics.push(unreadable(file.path, error));
		}
	}
	return { objects, diagnostics };
}
