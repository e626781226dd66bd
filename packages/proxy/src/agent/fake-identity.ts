import assert from "node:assert/strict";
import type { WorkloadCertificate } from "./workload-certificate.ts";
import type { IdentityListener } from "./certificate-in-force.ts";
import type { WorkloadIdentity } from "./workload-identity.ts";

export interface FakeIdentity extends WorkloadIdentity {
	put(certificate: WorkloadCertificate | undefined): void;
}

/** For tests: has the certificates that it is given. */
export function createFakeIdentity(): FakeIdentity {
	const listeners = new Set<IdentityListener>();
	let current: WorkloadCertificate | undefined;
	return {
		get current() {
			return current;
		},
		subscribe(listener) {
			listeners.add(listener);
			if (current !== undefined) listener(current);
			return () => void listeners.delete(listener);
		},
		put(certificate) {
			current = certificate;
			for (const listener of listeners) listener(certificate);
		},
		trust: () => assert.fail("not asked for"),
		ready: () => assert.fail("not asked for"),
		run: () => assert.fail("not asked for"),
		renewNow: () => assert.fail("not asked for"),
	};
}
