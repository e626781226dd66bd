import { type KubeClient, resources } from "@weft/kube";
import type { SecretAccess } from "@weft/pilot";
import type { Clock, Logger } from "@weft/runtime";

/** How long an answer holds: a right that is taken away is noticed after so long at the latest. */
const answerMs = 60_000;
/** When an API server that does not answer is asked again. */
const retryMs = 5_000;
/** Service accounts that are remembered; with more all are asked for again. */
const accountsMax = 10_000;

interface Answer {
	readonly allowed: boolean;
	readonly untilMs: number;
}

export interface SecretAccessOptions {
	readonly client: Pick<KubeClient, "mayAccess">;
	readonly clock: Clock;
	readonly logger: Logger;
	readonly signal: AbortSignal;
}

/** SubjectAccessReviews, as istiod asks them: may the service account of a gateway list the Secrets of its namespace? */
export function createSecretAccess({ client, clock, logger, signal }: SecretAccessOptions): SecretAccess {
	const answers = new Map<string, Answer>();
	const reviewing = new Set<string>();
	const listeners: (() => void)[] = [];

	/** Until it is known: what was allowed stays so, since an API server that is away must not close a gateway. */
	async function review(key: string, namespace: string, serviceAccount: string): Promise<void> {
		const user = `system:serviceaccount:${namespace}:${serviceAccount}`;
		const groups = ["system:serviceaccounts", `system:serviceaccounts:${namespace}`, "system:authenticated"];
		while (!signal.aborted) {
			try {
				const allowed = await client.mayAccess({ user, groups, verb: "list", resource: resources.secrets, namespace }, signal);
				const before = answers.get(key)?.allowed ?? false;
				if (answers.size >= accountsMax) answers.clear();
				answers.set(key, { allowed, untilMs: clock.monotonicMs() + answerMs });
				if (allowed !== before) for (const changed of listeners) changed();
				return;
			} catch (error) {
				if (signal.aborted) return;
				logger.warn("access to Secrets not reviewed", { user, error });
				await clock.sleep(retryMs, signal);
			}
		}
	}

	return {
		mayRead(namespace, serviceAccount) {
			const key = `${namespace}/${serviceAccount}`;
			const known = answers.get(key);
			const isOld = known === undefined || known.untilMs <= clock.monotonicMs();
			if (isOld && !reviewing.has(key)) {
				reviewing.add(key);
				void review(key, namespace, serviceAccount).finally(() => reviewing.delete(key));
			}
			return known?.allowed ?? false;
		},
		onChange: (changed) => void listeners.push(changed),
	};
}
