import { readFileSync } from "node:fs";
import { styleText } from "node:util";
import { parse } from "yaml";
import { confirm } from "../install/confirm.ts";
import { findHelm, type HelmOptions } from "../install/helm.ts";
import { type Component, planInstall } from "../install/plan.ts";
import { isTree, mergeValues, parseSet, type ValueTree } from "../install/set-values.ts";
import { CommandError } from "../output/errors.ts";
import { version } from "../version.ts";

export interface InstallOptions extends HelmOptions {
	readonly set?: readonly string[];
	readonly filename?: readonly string[];
	readonly revision?: string;
	readonly istioNamespace: string;
	readonly dryRun?: boolean;
	readonly skipConfirmation?: boolean;
	readonly wait: boolean;
	readonly readinessTimeout: string;
}

export function valuesOf({ set = [], filename = [] }: Pick<InstallOptions, "set" | "filename">): ValueTree {
	return [...filename.map(readValues), ...set.map(parseSet)].reduce(mergeValues, {});
}

function readValues(file: string): ValueTree {
	try {
		const value: unknown = parse(readFileSync(file === "-" ? 0 : file, "utf8")) ?? {};
		if (isTree(value)) return value;
	} catch (error) {
		throw new CommandError(`${file}: ${error instanceof Error ? error.message.trimEnd() : String(error)}`);
	}
	throw new CommandError(`${file}: expected a map of values`);
}

export async function installCommand(options: InstallOptions): Promise<void> {
	const values = valuesOf(options);
	const plan = planInstall({ values, namespace: options.istioNamespace, ...(options.revision !== undefined && { revision: options.revision }) });
	const helm = findHelm(options);
	// All of it, before anything is changed: a typo in the last chart must not leave the first two installed.
	const manifests: string[] = [];
	for (const component of plan) manifests.push(await helm.template(component));
	if (options.dryRun) {
		process.stdout.write(manifests.join(""));
		return;
	}
	const profile = String(values["profile"] ?? "default");
	const names = plan.map(({ title }) => title.toLowerCase()).join(", ");
	if (!options.skipConfirmation) await confirm(`This will install the Weft ${version} profile "${profile}" (${names}) into the cluster.`);
	for (const component of plan) {
		const progress = startProgress(component);
		try {
			// Helm waits for a load balancer's address as well, which a cluster without one never gives: gateways are waited for by their test.
			await helm.apply(component, { wait: options.wait && component.chart !== "gateway", timeout: options.readinessTimeout });
			if (options.wait && component.chart === "gateway") await waitForGateway(component, options);
			progress.done();
		} catch (error) {
			progress.failed();
			throw error;
		}
	}
	process.stdout.write(`${tick()} Installation complete\n`);
	process.stdout.write("\nNext: kubectl label namespace default ");
	const revision = plan.find(({ chart }) => chart === "control-plane")?.values["revision"];
	process.stdout.write(typeof revision === "string" && revision !== "" ? `istio.io/rev=${revision}\n` : "istio-injection=enabled\n");
}

const tick = () => styleText("green", "✔");

function startProgress({ title }: Component): { done(): void; failed(): void } {
	if (process.stdout.isTTY) process.stdout.write(`- ${title}…`);
	const end = (line: string) => void process.stdout.write(`${process.stdout.isTTY ? "\r\u001b[K" : ""}${line}\n`);
	return {
		done: () => end(`${tick()} ${title} installed`),
		failed: () => end(`${styleText("red", "✘")} ${title} was not installed`),
	};
}

async function waitForGateway(component: Component, options: InstallOptions): Promise<void> {
	const { openCluster } = await import("../kube/cluster.ts");
	const { waitForDeployment } = await import("../kube/rollout.ts");
	await waitForDeployment(await openCluster(options), component.namespace, component.release, options.readinessTimeout);
}
