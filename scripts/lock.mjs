// `node scripts/lock.mjs`: writes package-lock.json for every platform. A registry mirror may lack the platform packages
// of a tool; `npm install` then leaves them out of the lock file and `npm ci` refuses it. They are added here by name and
// version, with the platform that their name says; nobody but that platform ever fetches them.
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./workspace.mjs";

const systems = {
	android: "android",
	darwin: "darwin",
	linux: "linux",
	win32: "win32",
	windows: "win32",
	freebsd: "freebsd",
	openharmony: "openharmony",
	netbsd: "netbsd",
	openbsd: "openbsd",
	sunos: "sunos",
	aix: "aix",
};
const processors = {
	arm64: "arm64",
	x64: "x64",
	64: "x64",
	arm: "arm",
	armv7: "arm",
	ppc64: "ppc64",
	riscv64: "riscv64",
	s390x: "s390x",
	ia32: "ia32",
	loong64: "loong64",
	mips64el: "mips64el",
};

/** os and cpu of a platform package, e.g. @oxlint/binding-linux-arm64-musl. */
function platform(name) {
	const words = name.split("/").pop().split("-");
	const find = (table) => words.map((word) => table[word]).find((value) => value !== undefined);
	const os = find(systems);
	const cpu = find(processors);
	if (os === undefined || cpu === undefined) throw new Error(`${name}: no platform in its name`);
	return { cpu: [cpu], os: [os] };
}

const result = spawnSync("npm", ["install", "--package-lock-only", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], {
	cwd: root,
	stdio: "inherit",
});
if (result.status !== 0) process.exit(result.status ?? 1);
const file = join(root, "package-lock.json");
const lock = JSON.parse(readFileSync(file, "utf8"));
let added = 0;
for (const { optionalDependencies = {}, dev } of Object.values(lock.packages)) {
	for (const [name, version] of Object.entries(optionalDependencies)) {
		const path = `node_modules/${name}`;
		if (lock.packages[path]) continue;
		lock.packages[path] = { version, ...platform(name), ...(dev ? { dev: true } : {}), optional: true };
		added++;
	}
}
// No download addresses: they differ from registry to registry.
for (const entry of Object.values(lock.packages)) if (/^https?:/.test(entry.resolved ?? "")) delete entry.resolved;
const sorted = Object.fromEntries(Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1)));
writeFileSync(file, `${JSON.stringify({ ...lock, packages: sorted }, null, 2)}\n`);
console.log(`package-lock.json written, ${added} platform packages added`);
