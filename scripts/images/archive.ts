import { createHash } from "node:crypto";
import { constants, gzipSync } from "node:zlib";
import type { FileTree } from "./file-tree.ts";
import { tarOf, tarOfFiles } from "./tar.ts";

export interface Layer {
	/** sha256 of the tar. */
	readonly diffId: string;
	/** sha256 of the compressed tar. */
	readonly digest: string;
	readonly blob: Buffer;
	readonly bytes: number;
	readonly createdBy: string;
}

/** The part of an image's configuration that images of ours differ in: https://github.com/opencontainers/image-spec/blob/main/config.md */
export interface ImageConfig {
	readonly Entrypoint: readonly string[];
	readonly Cmd?: readonly string[];
	readonly Env: readonly string[];
	readonly User: string;
	readonly WorkingDir: string;
	readonly Labels: Readonly<Record<string, string>>;
	readonly ExposedPorts?: Readonly<Record<string, Record<string, never>>>;
}

export interface Image {
	/** Full references; the first is its main name. */
	readonly names: readonly string[];
	readonly layers: readonly Layer[];
	readonly config: ImageConfig;
}

const sha256 = (bytes: Buffer) => createHash("sha256").update(bytes).digest("hex");
const epoch = "1970-01-01T00:00:00Z";

export function buildLayer(tree: FileTree, createdBy: string): Layer {
	const tar = tarOf(tree);
	const blob = gzipSync(tar, { level: constants.Z_BEST_COMPRESSION });
	return { diffId: sha256(tar), digest: sha256(blob), blob, bytes: tar.length, createdBy };
}

/** What is transferred: the layers as they are compressed. */
export function compressedBytes(image: Image): number {
	return image.layers.reduce((sum, layer) => sum + layer.blob.length, 0);
}

/**
 * One tarball that is an OCI image layout and a docker archive at once, so that `docker load`, `kind load image-archive`,
 * `ctr images import`, `podman load` and `skopeo` all take it. Images of one tarball share their layers.
 */
export function buildArchive(images: readonly Image[]): Buffer {
	const blobs = new Map<string, Buffer>();
	const put = (bytes: Buffer): { readonly digest: string; readonly size: number } => {
		const digest = sha256(bytes);
		blobs.set(digest, bytes);
		return { digest: `sha256:${digest}`, size: bytes.length };
	};
	const entries = images.map((image) => {
		const layers = image.layers.map(({ blob }) => ({ mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", ...put(blob) }));
		const config = { mediaType: "application/vnd.oci.image.config.v1+json", ...put(configBlob(image)) };
		const manifest = put(Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: "application/vnd.oci.image.manifest.v1+json", config, layers })));
		return { image, config, layers, manifest };
	});
	const path = (digest: string) => `blobs/${digest.replace(":", "/")}`;
	const index = {
		schemaVersion: 2,
		mediaType: "application/vnd.oci.image.index.v1+json",
		manifests: entries.flatMap(({ image, manifest }) =>
			image.names.map((name) => ({
				mediaType: "application/vnd.oci.image.manifest.v1+json",
				...manifest,
				platform: { architecture: architecture(), os: "linux" },
				annotations: { "io.containerd.image.name": name, "org.opencontainers.image.ref.name": name.slice(name.lastIndexOf(":") + 1) },
			})),
		),
	};
	const docker = entries.map(({ image, config, layers }) => ({
		Config: path(config.digest),
		RepoTags: image.names,
		Layers: layers.map(({ digest }) => path(digest)),
	}));
	return tarOfFiles([
		["oci-layout", Buffer.from(JSON.stringify({ imageLayoutVersion: "1.0.0" }))],
		["index.json", Buffer.from(JSON.stringify(index))],
		["manifest.json", Buffer.from(JSON.stringify(docker))],
		...[...blobs].map(([digest, bytes]) => [`blobs/sha256/${digest}`, bytes] as const),
	]);
}

function architecture(): string {
	return process.arch === "x64" ? "amd64" : process.arch;
}

function configBlob({ layers, config }: Image): Buffer {
	const value = {
		created: epoch,
		architecture: architecture(),
		os: "linux",
		config,
		rootfs: { type: "layers", diff_ids: layers.map(({ diffId }) => `sha256:${diffId}`) },
		history: layers.map(({ createdBy }) => ({ created: epoch, created_by: createdBy })),
	};
	return Buffer.from(JSON.stringify(value));
}
