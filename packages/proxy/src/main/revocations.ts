import { readFileSync } from "node:fs";
import type { Clock, Logger } from "@weft/runtime";

/** Where Istio mounts the ConfigMap istio-ca-crl. */
export const revocationsFile = "/var/run/secrets/istio/crl/ca-crl.pem";
/** kubelet itself takes up to a minute to mount a change. */
const reloadMs = 10_000;
const bytesMax = 4 << 20;

export interface Revocations {
	/** "" : there are none. */
	pem(): string;
	/** Looks at the file until `signal` aborts; tells of each change. */
	run(onChange: () => void, signal: AbortSignal): Promise<void>;
}

/** Revocation lists of the mesh's CA, if its owner keeps any. A file that cannot be used leaves the last good one in force. */
export function followRevocations(file: string, clock: Clock, logger: Logger): Revocations {
	let told = "";
	let current = "";
	const load = () => {
		const text = readText(file);
		const reason =
			text === "" || text.includes("-----BEGIN X509 CRL-----") ? (text.length > bytesMax ? `more than ${bytesMax} bytes` : "") : "no PEM block X509 CRL";
		if (reason !== "" && reason !== told) logger.error("revocation list is not taken; the last good one stays", { file, reason });
		told = reason;
		return reason === "" ? text : current;
	};
	current = load();
	return {
		pem: () => current,
		async run(onChange, signal) {
			while (!signal.aborted) {
				await clock.sleep(reloadMs, signal);
				const before = current;
				current = load();
				if (current !== before && !signal.aborted) onChange();
			}
		},
	};
}

function readText(file: string): string {
	try {
		return readFileSync(file, "utf8");
	} catch (error) {
		if (error instanceof Error && "code" in error && error.code === "ENOENT") return "";
		throw error;
	}
}
