import { decodeYaml } from "@weft/galley";
import { connectMesh, readSources } from "../local/mesh-client.ts";
import { CommandError } from "../output/errors.ts";
import { failureOf, renderResult } from "./apply.ts";
import { resolveKind } from "./kind-names.ts";
import { pathsOf, type StateOptions } from "./state-options.ts";

export interface DeleteOptions extends StateOptions {
	readonly filename?: readonly string[];
	readonly namespace: string;
	readonly wait: boolean;
}

export async function deleteCommand(kind: string | undefined, names: readonly string[], options: DeleteOptions): Promise<void> {
	const targets = options.filename ? fromFiles(options.filename) : named(kind, names, options.namespace);
	const client = connectMesh(pathsOf(options));
	for (const target of targets) {
		const result = await client.remove(target.kind, target.namespace, target.name, options.wait);
		process.stdout.write(renderResult(result, false));
		const failure = failureOf(result);
		if (failure !== undefined) throw new CommandError(failure);
	}
}

interface Target {
	readonly kind: string;
	readonly namespace: string;
	readonly name: string;
}

function named(kind: string | undefined, names: readonly string[], namespace: string): Target[] {
	if (kind === undefined || names.length === 0) throw new CommandError("name what to delete: weft delete KIND NAME, or weft delete -f FILE", 2);
	return names.map((name) => ({ kind: resolveKind(kind), namespace, name }));
}

function fromFiles(paths: readonly string[]): Target[] {
	return readSources(paths)
		.flatMap(({ file, text }) => decodeYaml(text, file).objects)
		.map(({ kind, metadata }) => ({ kind, namespace: metadata.namespace, name: metadata.name }));
}
