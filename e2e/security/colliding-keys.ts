import { decodeMeshConfig, decodeYaml } from "@weft/galley";
import { parseJwks } from "../../packages/proxy/src/data/filters/jwt/jwks.ts";
import { parseJwt } from "../../packages/proxy/src/data/filters/jwt/jwt.ts";

// Run by hostile-config.test.ts in a process of its own, which it ends if this does not come to an end.

const count = 50_000;
const rounds = 20;

/** Whole numbers as text hash to their own low bits in V8, without a seed: these share sixteen of them (CVE-2026-21717). */
const keys = Array.from({ length: count }, (_, i) => String((i * 65_536) % 2 ** 32));
const colliding = `{${keys.map((key, i) => `"${key}${i % 2 === 0 ? "" : "0"}":"a"`).join(",")}}`;
const base64 = (text: string): string => Buffer.from(text).toString("base64url");

for (let round = 0; round < rounds; round++) {
	JSON.parse(colliding);
	new Set(keys.map((key) => key.slice()));
	parseJwks(`{"keys":[${colliding}]}`);
	parseJwt(`${base64('{"alg":"RS256"}')}.${base64(colliding)}.AAAA`);
}
const service = `{"apiVersion":"v1","kind":"Service","metadata":{"name":"a","namespace":"b","labels":${colliding}},"spec":{}}`;
decodeYaml(service, "a.yaml");
decodeMeshConfig(`defaultConfig: {proxyMetadata: ${colliding}}`, "mesh.yaml");
process.stdout.write("done");
