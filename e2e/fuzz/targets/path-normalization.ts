import { isPlainPath, normalizePath, type PathNormalization } from "../../../packages/proxy/src/data/match/path-normalization.ts";
import { check, checkSame } from "../invariants.ts";

const switches = [true, false];
const configurations: readonly PathNormalization[] = (["keep", "reject", "redirect", "forward"] as const).flatMap((escapedSlashes) =>
	switches.flatMap((normalize) => switches.map((mergeSlashes) => ({ normalizePath: normalize, mergeSlashes, escapedSlashes }))),
);

/** What was brought in order is in order: the next hop, which may do the same, sees the path that was routed by. */
export function fuzz(data: Buffer): void {
	const path = data.latin1Slice();
	for (const configuration of configurations) {
		const once = normalizePath(path, configuration);
		if (once.kind === "reject") continue;
		const name = JSON.stringify(configuration);
		// Escapes of escapes are none: what was unescaped may say %2f again, once more.
		if (configuration.escapedSlashes === "keep") {
			checkSame(normalizePath(once.path, configuration), once, `a second time, ${name}`);
			if (path.startsWith("/") && isPlainPath(path) && !path.split("?", 1)[0]?.includes("//")) checkSame(once, { kind: "ok", path }, `a plain path, ${name}`);
		}
		if (!configuration.normalizePath) continue;
		const bare = once.path.split("?", 1)[0] as string;
		check(bare.startsWith("/"), `no path, ${name}: ${bare}`);
		check(!/\/\.{1,2}(?:[/;]|$)/.test(bare) && !bare.includes("\\"), `dot segments or backslashes are left, ${name}: ${bare}`);
	}
}
