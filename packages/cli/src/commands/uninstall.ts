import { styleText } from "node:util";
import { confirm } from "../install/confirm.ts";
import { findHelm, type HelmOptions } from "../install/helm.ts";
import { CommandError } from "../output/errors.ts";

export interface UninstallOptions extends HelmOptions {
	readonly istioNamespace: string;
	readonly revision?: string;
	readonly skipConfirmation?: boolean;
	readonly purge?: boolean;
}

const order = ["gateway", "control-plane", "base"];
const chartName = (chart: string) => chart.replace(/-\d.*$/, "");

/** Removes what `install` or `helm install` of our charts made: gateways first, so that nothing asks a control plane that is gone. */
export async function uninstallCommand(options: UninstallOptions): Promise<void> {
	const helm = findHelm(options);
	const found = await helm.list(options.istioNamespace);
	const wanted = options.revision === undefined ? found : found.filter(({ name }) => name === `weft-${options.revision}`);
	if (wanted.length === 0 && !options.purge) {
		const what = options.revision === undefined ? "nothing of Weft" : `no control plane of revision ${options.revision}`;
		throw new CommandError(`there is ${what} in namespace ${options.istioNamespace} to uninstall`);
	}
	const releases = [...wanted].sort((a, b) => order.indexOf(chartName(a.chart)) - order.indexOf(chartName(b.chart)));
	const names = releases.map(({ name }) => name).join(", ");
	const crds = options.purge ? " and the mesh's CustomResourceDefinitions with every object of theirs" : "";
	if (!options.skipConfirmation) await confirm(`This will remove ${names === "" ? "no release" : names}${crds} from namespace ${options.istioNamespace}.`);
	for (const { name } of releases) {
		await helm.remove(name, options.istioNamespace);
		process.stdout.write(`${styleText("green", "✔")} ${name} removed\n`);
	}
	if (options.purge) {
		const { openCluster } = await import("../kube/cluster.ts");
		const { purge } = await import("../kube/purge.ts");
		for (const line of await purge(await openCluster(options), options.istioNamespace)) process.stdout.write(`${styleText("green", "✔")} ${line} removed\n`);
	}
	process.stdout.write(`${styleText("green", "✔")} Uninstall complete\n`);
	if (!options.purge) process.stdout.write("\nCustomResourceDefinitions and what you wrote stay; weft uninstall --purge removes them, too.\n");
}
