import { hasStatus, type KubeClient, resourceOf } from "@weft/kube";
import { conditionsOf, entryAnnotations, EntryChangedError, type EntryRef, type WorkloadEntries } from "@weft/pilot";

const fieldManager = "weft-registration";

/** WorkloadEntries in the API server: every replica of the control plane sees them, and they outlive all of them. */
export function createKubernetesEntries(client: KubeClient, signal: AbortSignal): WorkloadEntries {
	const type = resourceOf("WorkloadEntry");
	const annotationsOf = async ({ namespace, name }: EntryRef) => (await client.get(type, namespace, name, signal))?.metadata.annotations;
	/** Undefined where the entry is gone. */
	const patch = async (ref: EntryRef, body: object): Promise<object | undefined> => {
		try {
			return await client.patch(type, ref.namespace, ref.name, "merge", body, { fieldManager, signal });
		} catch (error) {
			if (hasStatus(error, 404)) return undefined;
			throw hasStatus(error, 409) ? new EntryChangedError(ref) : error;
		}
	};
	return {
		async read({ namespace, name }) {
			const object = await client.get(type, namespace, name, signal);
			if (!object) return undefined;
			const { annotations = {}, resourceVersion = "" } = object.metadata;
			return { annotations, spec: object["spec"] ?? {}, conditions: conditionsOf({ status: object["status"] }), revision: resourceVersion };
		},
		async create({ metadata, spec }) {
			const { name, namespace, labels, annotations, ownerReferences } = metadata;
			const object = { metadata: { name, namespace, labels, annotations, ...(ownerReferences && { ownerReferences }) }, spec };
			try {
				await client.create(type, namespace, object, { fieldManager, signal });
				return true;
			} catch (error) {
				if (hasStatus(error, 409)) return false;
				throw error;
			}
		},
		async change(ref, resourceVersion, annotations, spec) {
			if (spec === undefined) return void (await patch(ref, { metadata: { resourceVersion, annotations } }));
			// A merge patch would keep labels and ports that the new content does not have.
			const present = await client.get(type, ref.namespace, ref.name, signal);
			if (!present) return;
			const merged = Object.entries({ ...present.metadata.annotations, ...annotations }).filter(([, value]) => value !== null);
			const metadata = { ...present.metadata, resourceVersion, labels: spec.labels ?? {}, annotations: Object.fromEntries(merged) as Record<string, string> };
			try {
				await client.replace(type, ref.namespace, { ...present, metadata, spec }, { fieldManager, signal });
			} catch (error) {
				throw hasStatus(error, 409) ? new EntryChangedError(ref) : error;
			}
		},
		async setConditions({ namespace, name }, conditions) {
			// An apply would make the object where it is gone: a patch of what is there does not.
			try {
				await client.patch(type, namespace, name, "merge", { status: { conditions } }, { fieldManager, subresource: "status", signal });
			} catch (error) {
				if (!hasStatus(error, 404)) throw error;
			}
		},
		heartbeat: async (ref, at) => (await patch(ref, { metadata: { annotations: { [entryAnnotations.heartbeatAt]: at } } })) !== undefined,
		lastHeartbeat: async (ref) => (await annotationsOf(ref))?.[entryAnnotations.heartbeatAt],
		async remove(ref, resourceVersion) {
			try {
				await client.remove(type, ref.namespace, ref.name, { resourceVersion, signal });
			} catch (error) {
				if (hasStatus(error, 404)) return;
				throw hasStatus(error, 409) ? new EntryChangedError(ref) : error;
			}
		},
	};
}
