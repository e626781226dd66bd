import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { kubectl } from "./kubectl.ts";

/** Whose CRDs the suite installs: the Go module has them as files. */
const module = "sigs.k8s.io/gateway-api@v1.6.0";

export type GatewayApiCrds = { readonly files: readonly string[] } | { readonly missing: string };

/** The CRDs of the standard channel, by the Go module proxy; or why they cannot be had here. */
export function findGatewayApiCrds(): GatewayApiCrds {
	const folder = mkdtempSync(join(tmpdir(), "weft-gateway-api-"));
	try {
		const answer = execFileSync("go", ["mod", "download", "-json", module], {
			cwd: folder,
			encoding: "utf8",
			stdio: ["ignore", "pipe", "ignore"],
			timeout: 120_000,
		});
		const { Dir: directory } = JSON.parse(answer) as { readonly Dir: string };
		const crds = join(directory, "config/crd/standard");
		const files = readdirSync(crds).filter((name) => /^gateway\.networking\.k8s\.io_[a-z]+\.yaml$/.test(name));
		return files.length > 0 ? { files: files.map((name) => join(crds, name)) } : { missing: `${module} has no CRDs` };
	} catch (error) {
		return { missing: `no CRDs of the Gateway API: go mod download ${module}: ${error instanceof Error ? error.message.split("\n", 1)[0] : String(error)}` };
	} finally {
		rmSync(folder, { recursive: true });
	}
}

const flags = (files: readonly string[]) => files.flatMap((file) => ["-f", file]);

export async function installGatewayApi(files: readonly string[]): Promise<void> {
	// Some are larger than the annotation of a client-side apply may be.
	await kubectl("apply", "--server-side", ...flags(files));
	await kubectl("wait", "--for=condition=Established", "--timeout=60s", ...flags(files));
}

export async function removeGatewayApi(files: readonly string[]): Promise<void> {
	await kubectl("delete", "--ignore-not-found", "--timeout=120s", ...flags(files));
}
