import { existsSync, globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseAllDocuments } from "yaml";
import { root } from "../workspace.mjs";
import type { ImageConfig } from "./archive.ts";
import { baseContents, type Contents, captureContents, envoyContents, exampleContents, programContents, proxyContents, proxyUser } from "./contents.ts";
import type { FileTree } from "./file-tree.ts";
import type { Origin } from "./system-files.ts";

/** One tarball: its layers, and the images over them. */
export interface BuiltImage {
	readonly name: string;
	readonly layers: readonly { readonly title: string; readonly tree: FileTree }[];
	readonly images: readonly { readonly names: readonly string[]; readonly config: ImageConfig }[];
	readonly origins: readonly Origin[];
	/** Why it was not made. */
	readonly skipped?: string;
}

export interface ImageRequest {
	/** Empty: all. */
	readonly names: readonly string[];
	readonly hub: string;
	readonly tag: string;
	readonly envoy: string | undefined;
}

const path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const labels = { "org.opencontainers.image.title": "weft", "org.opencontainers.image.licenses": "Apache-2.0" };
const common = { WorkingDir: "/", Labels: labels } as const;

interface Definition {
	readonly layers: (shared: SharedLayers, request: ImageRequest) => readonly (readonly [string, Contents])[];
	readonly images: (request: ImageRequest) => BuiltImage["images"];
	readonly missing?: (request: ImageRequest) => string | undefined;
}

/** Made once, however many images stand on them. */
class SharedLayers {
	readonly #made = new Map<string, Contents>();
	base(): Contents {
		return this.#once("base", baseContents);
	}
	capture(): Contents {
		return this.#once("capture", captureContents);
	}
	proxy(): Contents {
		return this.#once("proxy", proxyContents);
	}
	#once(name: string, make: () => Contents): Contents {
		const contents = this.#made.get(name) ?? make();
		this.#made.set(name, contents);
		return contents;
	}
}

const baseTitle = "node and its libraries";
const bundleMissing = (packageName: string, program: string) =>
	existsSync(join(root, "packages", packageName, "dist", `${program}.mjs`)) ? undefined : `packages/${packageName} has no bundle of ${program}`;

const definitions: Readonly<Record<string, Definition>> = {
	"control-plane": {
		missing: () => bundleMissing("control-plane", "weft-control-plane"),
		layers: (shared) => [
			[baseTitle, shared.base()],
			["weft-control-plane", programContents("control-plane", "weft-control-plane")],
		],
		images: ({ hub, tag }) => [
			{
				names: [`${hub}/control-plane:${tag}`],
				config: { ...common, Entrypoint: ["/usr/local/bin/weft-control-plane"], Cmd: ["discovery"], Env: [path], User: `${proxyUser}:${proxyUser}` },
			},
		],
	},
	proxy: {
		missing: () => bundleMissing("proxy", "weft-proxy"),
		layers: (shared) => [
			[baseTitle, shared.base()],
			["iptables and ip", shared.capture()],
			["weft-proxy", shared.proxy()],
		],
		images: ({ hub, tag }) => [{ names: [`${hub}/proxy:${tag}`], config: proxyConfig() }],
	},
	"proxy-envoy": {
		missing: ({ envoy }) => (envoy === undefined ? "no Envoy here: npm run peers" : bundleMissing("proxy", "weft-proxy")),
		layers: (shared, { envoy }) => [
			[baseTitle, shared.base()],
			["iptables and ip", shared.capture()],
			["weft-proxy", shared.proxy()],
			["envoy", envoyContents(envoy ?? "")],
		],
		images: ({ hub, tag }) => [
			{ names: [`${hub}/proxy:${tag}-envoy`], config: { ...proxyConfig(), Env: [...proxyConfig().Env, "WEFT_ENVOY=/usr/local/bin/envoy"] } },
		],
	},
	examples: {
		layers: (shared) => [
			[baseTitle, shared.base()],
			["sample applications", exampleContents()],
		],
		images: exampleImages,
	},
};

export const imageNames: readonly string[] = Object.keys(definitions);

function proxyConfig(): ImageConfig {
	const { weft } = JSON.parse(readFileSync(join(root, "packages/proxy/package.json"), "utf8")) as {
		readonly weft: { readonly environment: Readonly<Record<string, string>> };
	};
	return {
		...common,
		Entrypoint: ["/usr/local/bin/weft-proxy"],
		// As Envoy's image starts.
		Cmd: ["-c", "/etc/envoy/envoy.yaml"],
		// Read by the C library before the program starts; Node's own flags are in the program's first line.
		Env: [path, ...Object.entries(weft.environment).map(([name, value]) => `${name}=${value}`)],
		User: `${proxyUser}:${proxyUser}`,
	};
}

interface LocalImage {
	readonly command: readonly string[];
	readonly env?: Readonly<Record<string, string>>;
}

/**
 * The sample manifests name the images that Istio's documentation names. `examples/weft.local.yaml` says which process stands for
 * which image on a laptop; here it says which command each of these images starts, so that the manifests run unchanged.
 */
function exampleImages({ hub, tag }: ImageRequest): BuiltImage["images"] {
	const examples = join(root, "examples");
	const map = parseAllDocuments(readFileSync(join(examples, "weft.local.yaml"), "utf8"))[0]?.toJS() as {
		readonly images: Readonly<Record<string, LocalImage>>;
	};
	const used = new Set(
		globSync("**/*.yaml", { cwd: examples })
			.sort()
			.flatMap((name) => imagesOf(readFileSync(join(examples, name), "utf8"))),
	);
	const base = { ...common, WorkingDir: "/usr/lib/weft/examples", User: "65534:65534" };
	const samples = Object.entries(map.images).map(([image, { command, env = {} }]) => ({
		names: [...used].filter((name) => name.startsWith(`${image}:`)),
		config: { ...base, Entrypoint: command, Env: [path, ...Object.entries(env).map(([key, value]) => `${key}=${value}`)] },
	}));
	const own = { names: [`${hub}/examples:${tag}`], config: { ...base, Entrypoint: ["node", "apps/src/main.ts"], Env: [path] } };
	return [own, ...samples.filter(({ names }) => names.length > 0)];
}

function imagesOf(manifest: string): string[] {
	return [...manifest.matchAll(/^\s+(?:- )?image:\s*"?([^\s"#]+)/gm)].flatMap(([, image]) => image ?? []);
}

export function* buildImages(request: ImageRequest): Generator<BuiltImage> {
	const shared = new SharedLayers();
	for (const name of request.names.length > 0 ? request.names : imageNames) {
		const definition = definitions[name];
		if (!definition) throw new RangeError(`no image is called ${name}`);
		const skipped = definition.missing?.(request);
		if (skipped !== undefined) {
			yield { name, layers: [], images: [], origins: [], skipped };
			continue;
		}
		const layers = definition.layers(shared, request);
		yield {
			name,
			layers: layers.map(([title, { tree }]) => ({ title, tree })),
			images: definition.images(request),
			origins: layers.flatMap(([, { origins }]) => origins),
		};
	}
}
