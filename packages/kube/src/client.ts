import { errorOfResponse, hasStatus, KubeError } from "./errors.ts";
import { apiVersionOf, type KubeObject, pathOf, type ResourceType, resources } from "./resource.ts";
import type { KubeRequest, KubeTransport } from "./transport.ts";

export interface ListOptions {
	readonly namespace?: string;
	readonly labelSelector?: string;
	readonly fieldSelector?: string;
	readonly signal?: AbortSignal;
	/** More objects than this are an error; default 200 000. */
	readonly objectsMax?: number;
}

export interface ListResult {
	readonly items: readonly KubeObject[];
	/** From where a watch goes on. */
	readonly resourceVersion: string;
}

export interface ApplyOptions {
	readonly fieldManager: string;
	/** Takes over fields that others manage; default false. */
	readonly force?: boolean;
	readonly subresource?: "status";
	readonly signal?: AbortSignal;
}

export type PatchType = "merge" | "strategic-merge" | "json";

export interface WriteOptions {
	readonly dryRun?: boolean;
	/** Of `replace`. */
	readonly subresource?: string;
	readonly fieldManager?: string;
	readonly signal?: AbortSignal;
}

export interface PatchOptions extends WriteOptions {
	readonly subresource?: "status";
}

export interface AccessQuestion {
	readonly user: string;
	readonly groups: readonly string[];
	readonly verb: string;
	readonly resource: ResourceType;
	readonly namespace: string;
	readonly name?: string;
}

/** Requests to the Kubernetes API. Rejects with KubeError where the server refuses, with other errors where it does not answer. */
export interface KubeClient {
	readonly transport: KubeTransport;
	/** Undefined where there is no such object, or no such kind. */
	get(type: ResourceType, namespace: string, name: string, signal?: AbortSignal): Promise<KubeObject | undefined>;
	/** All pages. */
	list(type: ResourceType, options?: ListOptions): Promise<ListResult>;
	create(type: ResourceType, namespace: string, object: KubeObject, options?: WriteOptions): Promise<KubeObject>;
	/** Conflict (409) unless `metadata.resourceVersion` is the present one. */
	replace(type: ResourceType, namespace: string, object: KubeObject, options?: WriteOptions): Promise<KubeObject>;
	/** Server-side apply. https://kubernetes.io/docs/reference/using-api/server-side-apply/ */
	apply(type: ResourceType, namespace: string, object: KubeObject, options: ApplyOptions): Promise<KubeObject>;
	patch(type: ResourceType, namespace: string, name: string, patchType: PatchType, patch: unknown, options?: PatchOptions): Promise<KubeObject>;
	/** With a resource version: Conflict (409) unless it is the present one. */
	remove(type: ResourceType, namespace: string, name: string, options?: WriteOptions & { readonly resourceVersion?: string }): Promise<void>;
	/** SubjectAccessReview: may this user do that? */
	mayAccess(question: AccessQuestion, signal?: AbortSignal): Promise<boolean>;
	/** The API server's version, such as `v1.34.4`. */
	serverVersion(signal?: AbortSignal): Promise<string>;
}

const pageObjects = 500;
const objectsMaxDefault = 200_000;

const contentTypes: Readonly<Record<PatchType, string>> = {
	merge: "application/merge-patch+json",
	"strategic-merge": "application/strategic-merge-patch+json",
	json: "application/json-patch+json",
};

export function createKubeClient(transport: KubeTransport): KubeClient {
	const call = async <T = KubeObject>(request: KubeRequest): Promise<T> => {
		const response = await transport.request(request);
		if (response.status < 200 || response.status > 299) throw errorOfResponse(`${request.method} ${request.path}`, response);
		return JSON.parse(response.body) as T;
	};
	const write = (
		method: "POST" | "PUT" | "PATCH" | "DELETE",
		path: string,
		body: unknown,
		{ dryRun, fieldManager, signal }: WriteOptions = {},
		contentType = "application/json",
	) =>
		call({
			method,
			path,
			query: { dryRun: dryRun ? "All" : undefined, fieldManager },
			contentType,
			...(body !== undefined && { body: JSON.stringify(body) }),
			...(signal && { signal }),
		});
	return {
		transport,
		async get(type, namespace, name, signal) {
			try {
				return await call({ method: "GET", path: pathOf(type, namespace, name), ...(signal && { signal }) });
			} catch (error) {
				if (hasStatus(error, 404)) return undefined;
				throw error;
			}
		},
		list: (type, options = {}) => listPages(call, type, options),
		create: (type, namespace, object, options) => write("POST", pathOf(type, namespace), typed(type, object), options),
		replace: (type, namespace, object, options) =>
			write("PUT", pathOf(type, namespace, object.metadata.name, options?.subresource), typed(type, object), options),
		apply: (type, namespace, object, { fieldManager, force = false, subresource, signal }) =>
			call({
				method: "PATCH",
				path: pathOf(type, namespace, object.metadata.name, subresource),
				query: { fieldManager, force: String(force) },
				// JSON is YAML.
				contentType: "application/apply-patch+yaml",
				body: JSON.stringify(typed(type, object)),
				...(signal && { signal }),
			}),
		patch: (type, namespace, name, patchType, patch, options) =>
			write("PATCH", pathOf(type, namespace, name, options?.subresource), patch, options, contentTypes[patchType]),
		async remove(type, namespace, name, options) {
			const { resourceVersion } = options ?? {};
			const body = resourceVersion === undefined ? undefined : { apiVersion: "v1", kind: "DeleteOptions", preconditions: { resourceVersion } };
			await write("DELETE", pathOf(type, namespace, name), body, options);
		},
		async mayAccess({ user, groups, verb, resource, namespace, name }, signal) {
			const resourceAttributes = { verb, group: resource.group, resource: resource.plural, namespace, ...(name !== undefined && { name }) };
			const review = typed(resources.subjectAccessReviews, { metadata: { name: "" }, spec: { user, groups, resourceAttributes } });
			const answer = await write("POST", pathOf(resources.subjectAccessReviews), review, signal && { signal });
			return (answer["status"] as { readonly allowed?: boolean } | undefined)?.allowed === true;
		},
		async serverVersion(signal) {
			const { gitVersion } = await call<{ readonly gitVersion: string }>({ method: "GET", path: "/version", ...(signal && { signal }) });
			return gitVersion;
		},
	};
}

const typed = (type: ResourceType, object: KubeObject): KubeObject => ({ ...object, apiVersion: apiVersionOf(type), kind: type.kind });

interface Page {
	readonly items?: readonly KubeObject[];
	readonly metadata?: { readonly resourceVersion?: string; readonly continue?: string };
}

async function listPages(call: <T>(request: KubeRequest) => Promise<T>, type: ResourceType, options: ListOptions): Promise<ListResult> {
	const { namespace, labelSelector, fieldSelector, signal, objectsMax = objectsMaxDefault } = options;
	const items: KubeObject[] = [];
	let next: string | undefined;
	for (;;) {
		const page: Page = await call({
			method: "GET",
			path: pathOf(type, namespace),
			query: { limit: String(pageObjects), labelSelector, fieldSelector, continue: next },
			...(signal && { signal }),
		});
		for (const item of page.items ?? []) items.push(item);
		if (items.length > objectsMax) throw new KubeError(413, "TooLarge", `there are more than ${objectsMax} ${type.plural}; they are not read`);
		next = page.metadata?.continue;
		// All pages show the moment of the first.
		if (next === undefined || next === "") return { items, resourceVersion: page.metadata?.resourceVersion ?? "" };
	}
}
