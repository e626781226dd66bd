import { systemClock } from "@weft/runtime";

/** Waits until `holds`; fails with what was waited for after `timeoutMs`. */
export async function until(what: string, holds: () => boolean | Promise<boolean>, timeoutMs = 20_000): Promise<void> {
	const endMs = systemClock.monotonicMs() + timeoutMs;
	while (!(await holds())) {
		if (systemClock.monotonicMs() > endMs) throw new Error(`waited ${timeoutMs} ms in vain until ${what}`);
		await systemClock.sleep(10);
	}
}
