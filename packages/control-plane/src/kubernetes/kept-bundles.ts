import { createHash } from "node:crypto";
import { hasStatus, type KubeClient, resources } from "@weft/kube";
import { decodeTrustBundle } from "@weft/pki";

/** The last good SPIFFE bundles: a restart must not lose them while whoever serves them is away. */
export interface KeptBundles {
	/** PEM; "" : none is kept of this address. Rejects where it cannot be read, and where what is kept is no bundle. */
	read(url: string): Promise<string>;
	write(url: string, pem: string): Promise<void>;
	/** Takes away what is kept of other addresses. */
	keepOnly(urls: readonly string[]): Promise<void>;
}

type Data = Readonly<Record<string, string>>;

const fieldManager = "weft-citadel";

/** Keys of ConfigMaps have no slashes. The host is there for whoever looks. */
export function bundleKey(url: string): string {
	const digest = createHash("sha256").update(url).digest("hex").slice(0, 32);
	return `${URL.parse(url)?.hostname.replaceAll(/[^a-z0-9.-]/g, "") ?? ""}_${digest}.pem`;
}

/**
 * In a ConfigMap beside the mesh config, one key an address: whoever may write there names the mesh's roots anyway. Replicas write
 * the same, each its keys alone.
 */
export function createKeptBundles(client: KubeClient, namespace: string, name: string): KeptBundles {
	const type = resources.configMaps;
	const read = async () => ((await client.get(type, namespace, name))?.["data"] ?? {}) as Data;
	const patch = (data: Readonly<Record<string, string | null>>) => client.patch(type, namespace, name, "merge", { data }, { fieldManager });
	return {
		async read(url) {
			const pem = (await read())[bundleKey(url)] ?? "";
			if (pem === "") return "";
			const bundle = decodeTrustBundle(pem);
			if (!bundle.ok) throw new Error(`ConfigMap ${namespace}/${name}, ${bundleKey(url)}: ${bundle.reason}`);
			return bundle.value.pem;
		},
		async write(url, pem) {
			const data = { [bundleKey(url)]: pem };
			try {
				await patch(data);
			} catch (error) {
				if (!hasStatus(error, 404)) throw error;
				// Another replica may be quicker.
				await client.create(type, namespace, { metadata: { name, namespace }, data }, { fieldManager }).catch(async (refused: unknown) => {
					if (!hasStatus(refused, 409)) throw refused;
					await patch(data);
				});
			}
		},
		async keepOnly(urls) {
			const wanted = new Set(urls.map(bundleKey));
			const others = Object.keys(await read()).filter((key) => !wanted.has(key));
			if (others.length > 0) await patch(Object.fromEntries(others.map((key) => [key, null])));
		},
	};
}
