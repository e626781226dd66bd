// `npm run images`: writes the images of the product as tarballs, without a daemon or an image registry.
import { createHash } from "node:crypto";
import { chmodSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { findEnvoy } from "../peers-find.mjs";
import { root } from "../workspace.mjs";
import { buildArchive, buildLayer, compressedBytes } from "./archive.ts";
import type { FileTree } from "./file-tree.ts";
import { type BuiltImage, buildImages, imageNames } from "./images.ts";

const version = (JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { readonly version: string }).version;
const { values: flags, positionals } = parseArgs({
	allowPositionals: true,
	options: {
		out: { type: "string", default: join(root, "dist", "images") },
		hub: { type: "string", default: "weft.dev" },
		tag: { type: "string", default: version },
		/** Writes the file system of each image to a folder instead, for the Dockerfile. */
		rootfs: { type: "boolean", default: false },
		help: { type: "boolean", default: false },
	},
});

const usage = `usage: npm run images [-- [IMAGE…] [--out DIR] [--hub ${flags.hub}] [--tag ${flags.tag}] [--rootfs]]
IMAGE is one of ${imageNames.join(", ")}; without one, all but those whose programs are not installed here.`;

if (flags.help || positionals.some((name) => !imageNames.includes(name))) {
	console.error(usage);
	process.exit(flags.help ? 0 : 2);
}
const out = resolve(flags.out);
mkdirSync(out, { recursive: true });
const layerCache = new Map<FileTree, ReturnType<typeof buildLayer>>();
const started = Date.now();
for (const image of buildImages({ names: positionals, hub: flags.hub, tag: flags.tag, envoy: findEnvoy() })) {
	if (image.skipped !== undefined) console.log(`${image.name.padEnd(14)} skipped: ${image.skipped}`);
	else if (flags.rootfs) writeTree(join(out, image.name), image);
	else writeArchive(join(out, `${image.name}.tar`), image);
}
console.log(`${((Date.now() - started) / 1000).toFixed(1)} s`);

function writeArchive(path: string, image: BuiltImage): void {
	const layers = image.layers.map(({ tree, title }) => layerOf(tree, title));
	const images = image.images.map(({ names, config }) => ({ names, config, layers }));
	const archive = buildArchive(images);
	writeFileSync(path, archive);
	writeFileSync(path.replace(/\.tar$/, ".origins.tsv"), image.origins.map(({ path: file, origin }) => `${file}\t${origin}\n`).join(""));
	const first = images[0];
	if (!first) throw new Error(`${image.name} has no image`);
	const digest = createHash("sha256").update(archive).digest("hex");
	const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;
	const size = `${megabytes(compressedBytes(first))} compressed, ${megabytes(layers.reduce((sum, layer) => sum + layer.bytes, 0))} unpacked`;
	console.log(`${image.name.padEnd(14)} ${path}  ${size}  sha256:${digest.slice(0, 12)}`);
	for (const { names } of images) console.log(`${" ".repeat(15)}${names.join(" ")}`);
}

/** Images share the base layer, which takes the longest to compress. */
function layerOf(tree: FileTree, title: string): ReturnType<typeof buildLayer> {
	const known = layerCache.get(tree) ?? buildLayer(tree, title);
	layerCache.set(tree, known);
	return known;
}

function writeTree(folder: string, image: BuiltImage): void {
	for (const { tree } of image.layers) {
		for (const [path, entry] of tree.entries()) {
			const target = join(folder, path);
			mkdirSync(dirname(target), { recursive: true });
			// A later layer may say the same again.
			if (entry.type !== "folder") rmSync(target, { force: true });
			if (entry.type === "link") symlinkSync(entry.target, target);
			else if (entry.type === "file") writeFileSync(target, entry.content);
			else mkdirSync(target, { recursive: true });
			if (entry.type !== "link") chmodSync(target, entry.mode);
		}
	}
	console.log(`${image.name.padEnd(14)} ${folder}`);
}
