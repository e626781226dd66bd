/** One watch event at most: etcd keeps objects of 1.5 MB. */
export const lineBytesMax = 16 << 20;

/** The lines of a stream, those of each chunk together. Throws on a line that is too long; an unfinished last line is not given. */
export async function* jsonLines(body: AsyncIterable<Buffer>): AsyncGenerator<readonly string[]> {
	let parts: Buffer[] = [];
	let bytes = 0;
	for await (const chunk of body) {
		const lines: string[] = [];
		let start = 0;
		for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, start)) {
			parts.push(chunk.subarray(start, end));
			const line = (parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts)).toString("utf8");
			parts = [];
			bytes = 0;
			start = end + 1;
			if (line.trim() !== "") lines.push(line);
		}
		if (start < chunk.length) {
			parts.push(chunk.subarray(start));
			bytes += chunk.length - start;
			if (bytes > lineBytesMax) throw new Error(`a watch event is larger than ${lineBytesMax} bytes`);
		}
		if (lines.length > 0) yield lines;
	}
}
