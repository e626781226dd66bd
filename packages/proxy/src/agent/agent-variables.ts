import { accepted, type Checked, refused } from "@weft/pki";

/** What variables of Istio's agent say of its calls, whichever proxy it runs. */
export interface AgentVariables {
	/** XDS_HEADER_NAME: goes with every stream to the control plane. */
	readonly xdsHeaders: CallHeaders;
	/** CA_HEADER_NAME: goes with every request to the certificate authority. */
	readonly caHeaders: CallHeaders;
	/** BOOTSTRAP_XDS_AGENT: the control plane is asked for what it lays over the bootstrap before the proxy starts. */
	readonly asksForBootstrap: boolean;
}

/** Lower-case names, as gRPC metadata has them. */
export type CallHeaders = Readonly<Record<string, string>>;

type Environment = Readonly<Record<string, string | undefined>>;

export const noAgentVariables: AgentVariables = { xdsHeaders: {}, caHeaders: {}, asksForBootstrap: false };

/** As Go reads a boolean. */
export const truths: ReadonlySet<string> = new Set(["1", "t", "T", "TRUE", "true", "True"]);

/** The refusal names the variable. */
export function readAgentVariables(env: Environment): Checked<AgentVariables> {
	const xdsHeaders = headersOf("XDS_HEADER_", env);
	if (!xdsHeaders.ok) return xdsHeaders;
	const caHeaders = headersOf("CA_HEADER_", env);
	if (!caHeaders.ok) return caHeaders;
	return accepted({ xdsHeaders: xdsHeaders.value, caHeaders: caHeaders.value, asksForBootstrap: truths.has(env["BOOTSTRAP_XDS_AGENT"] ?? "") });
}

// What gRPC itself says in a head; a second one would be a malformed request.
const ofTheCall: ReadonlySet<string> = new Set(["te", "content-type", "user-agent", "host", "connection", "content-length", "transfer-encoding"]);

function headersOf(prefix: string, env: Environment): Checked<CallHeaders> {
	const headers: Record<string, string> = {};
	for (const [variable, value = ""] of Object.entries(env)) {
		if (!variable.startsWith(prefix)) continue;
		const name = variable.slice(prefix.length).toLowerCase();
		// https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md: names of metadata, and ASCII values.
		if (!/^[0-9a-z_.-]+$/.test(name)) return refused(`${variable}: a name of letters, digits, "-", "_" and "." is wanted after ${prefix}`);
		if (name.startsWith("grpc-") || name.endsWith("-bin") || ofTheCall.has(name)) return refused(`${variable}: gRPC uses the header ${name} itself`);
		if (!/^[\x20-\x7e]*$/.test(value)) return refused(`${variable}: the value of a header is printable ASCII`);
		headers[name] = value;
	}
	return accepted(headers);
}
