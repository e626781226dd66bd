import type { JwtProvider } from "../../../config/jwt-authentication.ts";
import type { WorkerContext } from "../../worker/context.ts";
import type { Counter } from "../filter-inputs.ts";
import { type Jwks, parseJwks } from "./jwks.ts";
import type { JwtFailure } from "./jwt-status.ts";
import { RemoteJwksFetcher } from "./remote-jwks.ts";

/** The keys of one provider, at once or once they have been fetched. */
export interface JwtKeys {
	/** `onKeys` may run before this returns. Gives a function that makes it not run any more. */
	get(onKeys: (keys: Jwks | JwtFailure) => void): () => void;
	close(): void;
}

export function createJwtKeys({ jwks }: JwtProvider, context: WorkerContext, count: { readonly success: Counter; readonly failed: Counter }): JwtKeys {
	if (jwks.kind === "remote") return new RemoteJwksFetcher(jwks.source, context, count);
	const parsed = parseJwks(jwks.json);
	return {
		get(onKeys) {
			onKeys(parsed);
			return () => {};
		},
		close() {},
	};
}
