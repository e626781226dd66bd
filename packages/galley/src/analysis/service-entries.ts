import { type Diagnostic, diagnosticCodes } from "@weft/api";
import { diagnosticAt } from "../decode/locations.ts";
import type { MeshView } from "./mesh-view.ts";

/** Of TCP only the address tells which service is meant. */
export function analyzeServiceEntries(view: MeshView): readonly Diagnostic[] {
	return view.concerned("ServiceEntry").flatMap((object) => {
		const { addresses, ports = [] } = object.spec;
		if (addresses !== undefined) return [];
		const index = ports.findIndex(({ protocol = "" }) => protocol === "" || protocol.toUpperCase() === "TCP");
		if (index < 0) return [];
		const message = "ServiceEntry addresses are required for this protocol; add addresses, or name the protocol if it is another";
		return [diagnosticAt(object, "warning", diagnosticCodes.serviceEntryAddressesRequired, ["spec", "ports", index], message)];
	});
}
