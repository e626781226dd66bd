import type { HeadersView, RequestView } from "./headers-view.ts";

/** `:status` and three digits. */
const statusBytes = 10;

type Fields = HeadersView & Partial<Pick<RequestView, "forEach">>;

/** Of a head as it is kept, names and values alone; what was on the wire is counted apart. */
function fieldBytes(headers: Fields): number {
	let bytes = 0;
	headers.forEach?.((name, value) => void (bytes += name.length + value.length));
	return bytes;
}

export function responseHeadBytes(response: Fields): number {
	return statusBytes + fieldBytes(response);
}

export function requestHeadBytes(request: RequestView): number {
	const { authority, method, path, scheme } = request;
	const pseudo = [[":authority", authority] as const, [":method", method] as const, [":path", path] as const, [":scheme", scheme] as const];
	return pseudo.reduce((sum, [name, value]) => sum + name.length + value.length, fieldBytes(request));
}
