import { parentPort } from "node:worker_threads";
import type { Signer } from "@weft/pki";
import { issueLeaf, type LeafOutcome } from "./issue-leaf.ts";
import { type FromSigningThread, signersMax, type ToSigningThread } from "./leaf-signer.ts";

/** The thread's start: it is told of signers once, then of jobs. */
const port = parentPort;
if (port === null) throw new Error("signing-worker runs as a thread of the control plane");
const signers = new Map<number, Signer>();

port.on("message", (message: ToSigningThread) => {
	if (message.kind === "signer") {
		signers.set(message.signerId, message.signer);
		const [oldest] = signers.keys();
		if (signers.size > signersMax && oldest !== undefined) signers.delete(oldest);
		return;
	}
	port.postMessage({ id: message.id, outcome: run(message) } satisfies FromSigningThread);
});

function run({ signerId, job }: Extract<ToSigningThread, { kind: "job" }>): LeafOutcome {
	const signer = signers.get(signerId);
	if (signer === undefined) return { ok: false, reason: "the authority has changed meanwhile", cause: "busy" };
	try {
		return issueLeaf(signer, job);
	} catch (error) {
		return { ok: false, reason: error instanceof Error ? error.message : String(error), cause: "sign" };
	}
}
