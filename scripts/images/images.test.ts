import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { rootCertificates } from "node:tls";
import { gunzipSync } from "node:zlib";
import { type ImageConfig, buildArchive, buildLayer } from "./archive.ts";
import { addAuthorities } from "./contents.ts";
import { readElfNeeds } from "./elf.ts";
import { FileTree } from "./file-tree.ts";
import { buildImages } from "./images.ts";
import { tarOf } from "./tar.ts";

const folder = mkdtempSync(join(tmpdir(), "weft-images-test-"));
after(() => rmSync(folder, { recursive: true }));

const config: ImageConfig = { Entrypoint: ["/a"], Env: [], User: "1337:1337", WorkingDir: "/", Labels: {} };

function sample(order: readonly string[]): FileTree {
	const tree = new FileTree();
	for (const name of order) tree.file(`/opt/${name}`, `content of ${name}`, 0o755);
	tree.link("/bin", "usr/bin");
	tree.folder("/tmp", 0o1777);
	return tree;
}

function unpack(bytes: Buffer): string {
	const to = mkdtempSync(join(folder, "unpacked-"));
	writeFileSync(join(to, "in.tar"), bytes);
	execFileSync("tar", ["-xpf", "in.tar"], { cwd: to });
	return to;
}

test("a tree becomes a tar that tar reads, the same bytes whatever the order", () => {
	const long = `${"d".repeat(90)}/${"f".repeat(90)}`;
	const bytes = tarOf(sample(["b", "a", long]));
	assert.deepEqual(bytes, tarOf(sample([long, "a", "b"])));
	const to = unpack(bytes);
	assert.equal(readFileSync(join(to, "opt", long), "utf8"), `content of ${long}`);
	const listing = execFileSync("tar", ["-tvf", join(to, "in.tar")], { encoding: "utf8", env: { ...process.env, TZ: "UTC" } });
	assert.match(listing, /^drwxrwxrwt 0\/0 +0 1970-01-01 00:00 tmp\/$/m);
	assert.match(listing, /^-rwxr-xr-x 0\/0 +12 1970-01-01 00:00 opt\/a$/m);
	assert.match(listing, /^lrwxrwxrwx 0\/0 +0 1970-01-01 00:00 bin -> usr\/bin$/m);
});

test("images trust the public authorities, and not those of the machine that makes them", () => {
	const tree = new FileTree();
	addAuthorities(tree);
	const [entry] = tree.entries().filter(([path]) => path === "/etc/ssl/certs/ca-certificates.crt");
	assert.ok(entry?.[1].type === "file");
	const text = entry[1].content.toString();
	assert.equal(text.match(/BEGIN CERTIFICATE/g)?.length, rootCertificates.length);
	for (const pem of rootCertificates) assert.ok(text.includes(pem));
});

test("names that a tar cannot hold are refused", () => {
	const tree = new FileTree();
	tree.file(`/${"x".repeat(101)}`, "");
	assert.throws(() => tarOf(tree), /too long a name/);
	assert.throws(() => tree.file("relative", ""), /not an absolute path/);
});

test("one tarball is an OCI layout and a docker archive, and its digests are those of its blobs", () => {
	const layer = buildLayer(sample(["a"]), "sample");
	const images = ["x", "y"].map((name) => ({ names: [`example.com/${name}:1`], layers: [layer], config: { ...config, Entrypoint: [`/${name}`] } }));
	const to = unpack(buildArchive(images));
	const read = (path: string) => readFileSync(join(to, path));
	const json = (path: string) => JSON.parse(read(path).toString());
	const blob = (digest: string) => {
		const bytes = read(`blobs/${digest.replace(":", "/")}`);
		assert.equal(`sha256:${createHash("sha256").update(bytes).digest("hex")}`, digest);
		return bytes;
	};
	const index = json("index.json");
	const docker = json("manifest.json");
	assert.deepEqual(
		index.manifests.map((m: { annotations: Record<string, string> }) => m.annotations["io.containerd.image.name"]),
		["example.com/x:1", "example.com/y:1"],
	);
	for (const [i, { digest, size }] of index.manifests.entries()) {
		assert.equal(blob(digest).length, size);
		const manifest = JSON.parse(blob(digest).toString());
		const imageConfig = JSON.parse(blob(manifest.config.digest).toString());
		assert.deepEqual(imageConfig.config.Entrypoint, [`/${["x", "y"][i]}`]);
		const tar = gunzipSync(blob(manifest.layers[0].digest));
		assert.deepEqual(imageConfig.rootfs.diff_ids, [`sha256:${createHash("sha256").update(tar).digest("hex")}`]);
		assert.equal(docker[i].Config, `blobs/${manifest.config.digest.replace(":", "/")}`);
		assert.deepEqual(docker[i].Layers, [`blobs/${manifest.layers[0].digest.replace(":", "/")}`]);
	}
});

const linux = process.platform === "linux" ? false : "reads the ELF file of this Node: Linux only";

test("the libraries that a program needs are read from its dynamic section", { skip: linux }, () => {
	const needs = readElfNeeds(readFileSync(process.execPath));
	assert.ok(needs?.libraries.includes("libc.so.6"));
	assert.match(needs?.interpreter ?? "", /ld-linux/);
	assert.equal(readElfNeeds(Buffer.from("#!/bin/sh\n".padEnd(80))), undefined);
});

const debian = existsSync("/var/lib/dpkg/status") ? false : "images are made of a Debian system's packages";

test("no image has a shell, a package manager or a setuid program; every link leads somewhere; all run as another user than root", { skip: debian }, () => {
	const built = [...buildImages({ names: ["proxy", "examples"], hub: "example.com/hub", tag: "t1", envoy: undefined })];
	for (const { name, layers, images, origins, skipped } of built) {
		if (skipped !== undefined) continue;
		const entries = new Map(layers.flatMap(({ tree }) => tree.entries()));
		for (const [path, entry] of entries) {
			assert.doesNotMatch(path, /bin\/(sh|bash|dash|busybox|npm|npx|apt-get|dpkg)$/, `${name}: ${path}`);
			if (entry.type === "file") assert.equal(entry.mode & 0o6022, 0, `${name}: ${path} has mode ${entry.mode.toString(8)}`);
			if (entry.type !== "link") continue;
			const target = new URL(entry.target, `file://${path}`).pathname.replace(/^\/(?=s?bin\/|lib)/, "/usr/");
			assert.ok(entries.has(target), `${name}: ${path} leads to ${target}, which is not there`);
		}
		for (const {
			config: { User },
		} of images)
			assert.match(User, /^[1-9]\d*:[1-9]\d*$/);
		assert.ok(origins.some(({ path, origin }) => path === "/usr/bin/node" && origin.startsWith("npm node-")));
		assert.ok(origins.some(({ path, origin }) => path.endsWith("/libc.so.6") && origin.startsWith("libc6")));
	}
});

test("the sample manifests find the images that they name", { skip: debian }, () => {
	const [examples] = buildImages({ names: ["examples"], hub: "example.com/hub", tag: "t1", envoy: undefined });
	const reviews = examples?.images.find(({ names }) => names.includes("registry.istio.io/release/examples-bookinfo-reviews-v2:1.20.3"));
	assert.deepEqual(reviews?.config.Entrypoint, ["node", "apps/src/main.ts", "reviews"]);
	assert.ok(reviews?.config.Env.includes("SERVICE_VERSION=v2"));
	assert.deepEqual(examples?.images[0]?.names, ["example.com/hub/examples:t1"]);
});
