import type { ConfigObject } from "@weft/api";

/** Secrets and ConfigMaps that hold certificates, by `namespace/name`. One object while none of them changes. */
export interface CertificateStore {
	readonly secrets: ReadonlyMap<string, ConfigObject<"Secret">>;
	readonly configMaps: ReadonlyMap<string, ConfigObject<"ConfigMap">>;
}

export function buildCertificateStore(secrets: readonly ConfigObject<"Secret">[], configMaps: readonly ConfigObject<"ConfigMap">[]): CertificateStore {
	return { secrets: byName(secrets), configMaps: byName(configMaps) };
}

function byName<T extends ConfigObject>(objects: readonly T[]): ReadonlyMap<string, T> {
	return new Map(objects.map((object) => [`${object.metadata.namespace}/${object.metadata.name}`, object]));
}
