/** Columns as kubectl and istioctl print them: upper-case heads, three blanks between unless asked for others, no trailing blanks. */
export function renderTable(head: readonly string[], rows: readonly (readonly string[])[], gap = 3): string {
	const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => (row[i] ?? "").length)));
	const line = (cells: readonly string[]) =>
		cells
			.map((cell, i) => cell.padEnd(widths[i] ?? 0))
			.join(" ".repeat(gap))
			.trimEnd();
	return `${[head, ...rows].map(line).join("\n")}\n`;
}

/** "5s", "3m", "2h", "4d": an age as kubectl shortens it. */
export function shortAge(ms: number): string {
	const seconds = Math.max(0, Math.floor(ms / 1000));
	if (seconds < 120) return `${seconds}s`;
	const minutes = Math.floor(seconds / 60);
	if (minutes < 120) return `${minutes}m`;
	const hours = Math.floor(minutes / 60);
	return hours < 48 ? `${hours}h` : `${Math.floor(hours / 24)}d`;
}
