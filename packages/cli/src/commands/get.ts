import { connectMesh } from "../local/mesh-client.ts";
import { CommandError } from "../output/errors.ts";
import { type OutputFormat, renderValue } from "../output/format.ts";
import { renderTable, shortAge } from "../output/table.ts";
import { columnsOf, type Item } from "./get-columns.ts";
import { resolveKind } from "./kind-names.ts";
import { pathsOf, type StateOptions } from "./state-options.ts";

export interface GetOptions extends StateOptions {
	readonly namespace: string;
	readonly allNamespaces?: boolean;
	readonly output: OutputFormat | "wide";
}

export async function getCommand(kindText: string, name: string | undefined, options: GetOptions): Promise<void> {
	const kind = resolveKind(kindText);
	const scope = options.allNamespaces ? [] : [options.namespace, ...(name === undefined ? [] : [name])];
	const path = ["config", kind, ...scope].map(encodeURIComponent).join("/");
	const items = (await connectMesh(pathsOf(options)).get(path)) as readonly Item[];
	if (options.output === "json" || options.output === "yaml") {
		const single = name !== undefined ? items[0] : { apiVersion: "v1", kind: "List", items };
		process.stdout.write(renderValue(single, options.output));
		return;
	}
	if (items.length === 0) throw new CommandError(`No resources found${options.allNamespaces ? "" : ` in ${options.namespace} namespace`}.`, 0);
	process.stdout.write(render(kind, items, { withNamespace: options.allNamespaces ?? false, isWide: options.output === "wide" }));
}

/** The table of objects of one kind, as kubectl prints it. */
export function render(kind: string, items: readonly Item[], { withNamespace, isWide }: { readonly withNamespace: boolean; readonly isWide: boolean }): string {
	const own = columnsOf(kind, isWide);
	const head = [...(withNamespace ? ["NAMESPACE"] : []), "NAME", ...own.map(([title]) => title), "AGE"];
	const rows = items.map((item) => {
		const { name, namespace, creationTimestamp } = item.metadata;
		const age = creationTimestamp === undefined ? "" : shortAge(Date.now() - Date.parse(creationTimestamp));
		return [...(withNamespace ? [namespace] : []), name, ...own.map(([, of]) => cell(of(item))), age];
	});
	return renderTable(head, rows);
}

function cell(value: unknown): string {
	if (value === undefined || value === "") return "";
	return typeof value === "string" ? value : JSON.stringify(value);
}
