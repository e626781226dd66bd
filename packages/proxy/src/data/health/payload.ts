/** Whether all `parts` are in `bytes`, each behind the one before, whatever stands between them. */
export function isInOrder(bytes: Buffer, parts: readonly Uint8Array[]): boolean {
	let at = 0;
	for (const part of parts) {
		const found = bytes.indexOf(part, at);
		if (found < 0) return false;
		at = found + part.length;
	}
	return true;
}
