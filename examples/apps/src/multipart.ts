export type MultipartPart = {
	readonly name: string;
	readonly filename?: string;
	readonly contentType?: string;
	readonly body: Buffer;
};

const partsMax = 100;

/** The boundary of a `multipart/form-data` content type (RFC 7578, RFC 2046 §5.1.1), undefined for any other. */
export function multipartBoundary(contentType: string | undefined): string | undefined {
	const match = /^multipart\/form-data\s*;.*boundary=(?:"([^"]{1,70})"|([^;\s]{1,70}))/i.exec(contentType ?? "");
	return match?.[1] ?? match?.[2];
}

/** The parts of a form, in order; undefined when the body is not one (no closing delimiter, a part without a name, over 100 parts). */
export function decodeMultipart(body: Buffer, boundary: string): readonly MultipartPart[] | undefined {
	const delimiter = Buffer.from(`\r\n--${boundary}`);
	// The first delimiter has no line break before it.
	let at = body.indexOf(delimiter.subarray(2));
	if (at < 0) return undefined;
	at += delimiter.length - 2;
	const parts: MultipartPart[] = [];
	while (parts.length < partsMax) {
		if (body.subarray(at, at + 2).toString("latin1") === "--") return parts;
		const headStart = body.indexOf("\r\n", at);
		const headEnd = body.indexOf("\r\n\r\n", at);
		const end = headEnd < 0 ? -1 : body.indexOf(delimiter, headEnd + 2);
		if (headStart < 0 || headEnd < 0 || end < 0) return undefined;
		const part = decodePart(body.subarray(headStart, headEnd).toString("utf8"), body.subarray(Math.min(headEnd + 4, end), end));
		if (part === undefined) return undefined;
		parts.push(part);
		at = end + delimiter.length;
	}
	return undefined;
}

/** One form with one file in it. */
export function encodeMultipart(boundary: string, name: string, filename: string, contentType: string, body: Uint8Array): Buffer {
	const head = `--${boundary}\r\nContent-Disposition: form-data; name="${name}"; filename="${filename}"\r\nContent-Type: ${contentType}\r\n\r\n`;
	return Buffer.concat([Buffer.from(head), body, Buffer.from(`\r\n--${boundary}--\r\n`)]);
}

function decodePart(head: string, body: Buffer): MultipartPart | undefined {
	const disposition = /^content-disposition:\s*form-data(.*)$/im.exec(head)?.[1] ?? "";
	const name = /;\s*name="([^"]*)"/i.exec(disposition)?.[1];
	if (name === undefined) return undefined;
	const filename = /;\s*filename="([^"]*)"/i.exec(disposition)?.[1];
	const contentType = /^content-type:\s*(.*)$/im.exec(head)?.[1]?.trim();
	return { name, body, ...(filename === undefined ? {} : { filename }), ...(contentType === undefined ? {} : { contentType }) };
}
