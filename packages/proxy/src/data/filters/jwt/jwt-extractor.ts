import type { JwtProvider } from "../../../config/jwt-authentication.ts";
import type { RequestHead } from "../../codec/request-head.ts";
import { cookieOf } from "../../headers/cookies.ts";

/** A token and where it was found. */
export interface FoundToken {
	readonly token: string;
	/** A provider takes tokens from its own places alone. */
	readonly provider: JwtProvider;
	/** Takes it out of the request. */
	remove(head: RequestHead): void;
}

type Extract = (head: RequestHead, found: FoundToken[]) => void;

/** `Authorization: Bearer …` and `?access_token=`, unless the provider names places of its own. */
export function compileExtractor(provider: JwtProvider): Extract {
	const { fromHeaders, fromParams, fromCookies } = provider;
	const isDefault = fromHeaders.length + fromParams.length + fromCookies.length === 0;
	const headers = isDefault ? [{ name: "authorization", valuePrefix: "Bearer " }] : fromHeaders;
	const parameters = isDefault ? ["access_token"] : fromParams;
	return (head, found) => {
		for (const { name, valuePrefix } of headers) {
			const token = readHeader(head.get(name), valuePrefix);
			if (token !== "") found.push({ token, provider, remove: (request) => void request.remove(name) });
		}
		if (parameters.length > 0 && head.path.includes("?")) {
			const query = new URLSearchParams(head.path.slice(head.path.indexOf("?") + 1));
			for (const name of parameters) {
				const token = query.get(name);
				if (token !== null) found.push({ token, provider, remove: (request) => void (request.path = withoutParameter(request.path, name)) });
			}
		}
		for (const name of fromCookies) {
			const token = cookieOf(head, name);
			// A cookie stays: other cookies are in the same header.
			if (token !== undefined) found.push({ token, provider, remove() {} });
		}
	};
}

/** With a prefix, what stands behind it, from the first character that a token may have. */
function readHeader(value: string | undefined, prefix: string): string {
	if (value === undefined) return "";
	if (prefix === "") return value;
	const at = value.indexOf(prefix);
	return at < 0 ? "" : value.slice(at + prefix.length).replace(/^[^A-Za-z0-9_.-]+(?=.)/, "");
}

function withoutParameter(path: string, name: string): string {
	const at = path.indexOf("?");
	if (at < 0) return path;
	const kept = path
		.slice(at + 1)
		.split("&")
		.filter((part) => part.split("=")[0] !== name);
	return kept.length === 0 ? path.slice(0, at) : `${path.slice(0, at)}?${kept.join("&")}`;
}
