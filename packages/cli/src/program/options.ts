import { type Command, Option } from "commander";
import { outputFormats } from "../output/format.ts";

/** Of an option that may be repeated. */
export const files = (value: string, before: readonly string[] = []): readonly string[] => [...before, value];

export function outputOption(...more: readonly string[]): Option {
	return new Option("-o, --output <format>", "output format").choices([...outputFormats, ...more]).default("table");
}

export const clusterOptions = (command: Command): Command =>
	command.option("-c, --kubeconfig <file>", "kubeconfig (default: $KUBECONFIG or ~/.kube/config)").option("--context <name>", "context of the kubeconfig");
export const istioNamespace: readonly [string, string, string] = ["-i, --istioNamespace <namespace>", "namespace of the control plane", "istio-system"];
export const stateDir: readonly [string, string] = ["--state-dir <dir>", "folder of the local mesh (default: $WEFT_STATE_DIR or .weft)"];
