import type { Listener } from "../../config/listeners.ts";
import { matchConnection } from "../match/connection-predicate.ts";

/** What is looked for in a connection's first bytes. */
export interface Inspectors {
	readonly tls: boolean;
	readonly http: boolean;
}

/** Which inspectors look at connections to a destination port. */
export type InspectorChoice = (destinationPort: number) => Inspectors;

const neither: Inspectors = { tls: false, http: false };
const both: Inspectors = { tls: true, http: true };
export const onlyTls: Inspectors = { tls: true, http: false };
const onlyHttp: Inspectors = { tls: false, http: true };

const choose = (tls: boolean, http: boolean): Inspectors => (tls ? (http ? both : onlyTls) : http ? onlyHttp : neither);

/** `hasTls`: a chain speaks TLS, which needs to know the client's protocols even where no inspector is configured. */
export function compileInspectors(config: Listener, hasTls: boolean): InspectorChoice {
	const { inspectTls, inspectHttp, tlsInspectorDisabled, httpInspectorDisabled } = config;
	if (tlsInspectorDisabled === undefined && httpInspectorDisabled === undefined) {
		const always = choose(inspectTls || hasTls, inspectHttp);
		return () => always;
	}
	const isOn = (disabled: typeof tlsInspectorDisabled, port: number) => disabled === undefined || !matchConnection(disabled, port);
	return (port) => choose(inspectTls ? isOn(tlsInspectorDisabled, port) : hasTls, inspectHttp && isOn(httpInspectorDisabled, port));
}
