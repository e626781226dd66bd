import { isIP } from "node:net";
import { type Diagnostic, diagnosticCodes } from "../diagnostic.ts";
import { type MeshNetworks, meshNetworksSchema } from "../schema/mesh-networks.ts";
import { fqdnProblem } from "./names.ts";
import { createReport, type Finding, type Report } from "./report.ts";
import { checkPort } from "./rules-common.ts";
import { walkSchema } from "./schema-walk.ts";
import { quote } from "./suggestion.ts";
import { type Location, toDiagnostic } from "./validate.ts";

type Network = NonNullable<MeshNetworks["networks"]>[string];

/** Reads MeshNetworks as the user wrote it. Unknown fields are warnings, as in a mesh config. */
export function decodeMeshNetworksValue(
	input: unknown,
	location: Location = {},
): { readonly value: MeshNetworks; readonly diagnostics: readonly Diagnostic[] } {
	const walked = walkSchema(meshNetworksSchema, input ?? {}, [], { unknownFields: "warning" });
	// The walk has made the value fit meshNetworksSchema.
	const value = walked.value as MeshNetworks;
	const findings: Finding[] = [...walked.findings];
	const report = createReport(findings);
	for (const [name, network] of Object.entries(value.networks ?? {})) checkNetwork(report.at("networks", name), network);
	return { value, diagnostics: findings.map((finding) => toDiagnostic(finding, location, { kind: "MeshNetworks" })) };
}

function checkNetwork(report: Report, { endpoints = [], gateways = [] }: Network): void {
	for (const [i, { fromCidr, fromRegistry }] of endpoints.entries()) {
		const at = report.at("endpoints", i);
		if (fromCidr === undefined && fromRegistry === undefined) at.error("write fromCidr or fromRegistry");
		if (fromCidr !== undefined && !isCidr(fromCidr)) at.at("fromCidr").error(`${quote(fromCidr)} is no range of addresses; write it as 10.0.0.0/8`);
	}
	for (const [i, { address, registryServiceName, port, locality }] of gateways.entries()) {
		const at = report.at("gateways", i);
		if (address === undefined && registryServiceName === undefined) at.error("write address or registryServiceName");
		checkPort(at.at("port"), port);
		const problem = address === undefined || isIP(address) !== 0 ? undefined : fqdnProblem(address);
		if (problem) at.at("address").error(`${problem}; write an IP address or a name of DNS`);
		if (locality) at.at("locality").warn("locality has no effect, as in istiod", diagnosticCodes.meshConfig);
	}
}

function isCidr(text: string): boolean {
	const [address = "", bits = "", ...more] = text.split("/");
	const family = isIP(address);
	return more.length === 0 && family !== 0 && /^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128);
}
