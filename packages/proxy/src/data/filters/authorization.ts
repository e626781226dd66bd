import type { HttpStream } from "../http/stream.ts";

/** How a header field is changed; the words are those of `HeaderAppendAction`, and Envoy's for requests. */
export interface FieldChange {
	readonly name: string;
	readonly value: string;
	readonly action: "append" | "set" | "appendIfPresent" | "addIfAbsent" | "overwriteIfPresent";
}

/** What an authorization service says of a request. */
export type Authorization =
	| {
			readonly kind: "ok";
			readonly request: readonly FieldChange[];
			readonly removed: readonly string[];
			readonly response: readonly FieldChange[];
			readonly query: QueryChange | undefined;
			readonly metadata: Readonly<Record<string, unknown>>;
	  }
	| {
			readonly kind: "denied";
			readonly status: number;
			/** Lower-case name, value, name, value … */
			readonly headers: readonly string[];
			readonly body: string | Buffer;
			readonly metadata: Readonly<Record<string, unknown>>;
	  }
	/** No answer that could be used. */
	| { readonly kind: "error" };

export interface QueryChange {
	readonly set: readonly { readonly key: string; readonly value: string }[];
	readonly removed: readonly string[];
}

export interface AuthorizationQuestion {
	/** undefined: it was not asked for. */
	readonly body: Buffer | undefined;
	/** The request's body goes on beyond that. */
	readonly isPartial: boolean;
}

/** One that is asked over HTTP or gRPC. */
export interface AuthorizationService {
	/** `onAnswer` runs once, never before this has returned, and not after the function that it gives. */
	ask(stream: HttpStream, question: AuthorizationQuestion, onAnswer: (answer: Authorization) => void): () => void;
}

interface Fields {
	get(name: string): string | undefined;
	has(name: string): boolean;
	set(name: string, value: string): void;
	append(name: string, value: string): void;
}

export function applyChange(fields: Fields, { name, value, action }: FieldChange): void {
	switch (action) {
		case "append":
			return fields.append(name, value);
		case "set":
			return fields.set(name, value);
		case "appendIfPresent":
			if (fields.has(name)) fields.set(name, `${fields.get(name)},${value}`);
			return;
		case "addIfAbsent":
			if (!fields.has(name)) fields.append(name, value);
			return;
		case "overwriteIfPresent":
			if (fields.has(name)) fields.set(name, value);
	}
}

/** Parameters keep their places; what is set anew comes last. Names and values are percent-encoded as they stand. */
export function changeQuery(path: string, { set, removed }: QueryChange): string {
	const at = path.indexOf("?");
	const gone = new Set(removed);
	const wanted = new Map(set.map(({ key, value }) => [key, value]));
	const pairs = (at < 0 ? "" : path.slice(at + 1)).split("&").filter((pair) => pair !== "");
	const kept = pairs.flatMap((pair) => {
		const key = pair.split("=", 1)[0] as string;
		if (!wanted.has(key)) return gone.has(key) ? [] : [pair];
		const value = wanted.get(key) as string;
		wanted.delete(key);
		return gone.has(key) ? [] : [`${key}=${value}`];
	});
	const query = [...kept, ...[...wanted].filter(([key]) => !gone.has(key)).map(([key, value]) => `${key}=${value}`)].join("&");
	return `${at < 0 ? path : path.slice(0, at)}${query === "" ? "" : `?${query}`}`;
}
