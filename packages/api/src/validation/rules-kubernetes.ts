import type { KubeServiceSpec } from "../schema/kubernetes-network.ts";
import type { Report } from "./report.ts";
import { checkPort } from "./rules-common.ts";
import { quote } from "./suggestion.ts";

/** What the API server would refuse and the mesh could not work with. */
export function checkService(report: Report, spec: KubeServiceSpec): void {
	const ports = spec.ports ?? [];
	const names = new Set<string>();
	for (const [i, port] of ports.entries()) {
		checkPort(report.at("ports", i, "port"), port.port);
		const name = port.name ?? "";
		if (ports.length > 1 && name === "") report.at("ports", i, "name").error("every port of a service with several ports needs a name");
		if (name !== "" && names.has(name)) report.at("ports", i, "name").error(`the port name ${quote(name)} stands twice; rename one`);
		names.add(name);
	}
	if (spec.type === "ExternalName" && !spec.externalName) report.at("externalName").error("a Service of type ExternalName needs externalName");
}
