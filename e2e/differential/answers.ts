import { headerOf, type SeenRequest } from "../security/request-reader.ts";
import type { Answer } from "../security/upstream.ts";
import { reply } from "./suite.ts";

const fine: Answer = { bytes: reply(200, [], "fine") };
export const hangUp: Answer = { bytes: "", close: true };

/** Answers of the first attempts, undefined for none; what follows is fine. */
export const first =
	(...answers: readonly (string | Answer | undefined)[]) =>
	(seen: SeenRequest): Answer | undefined => {
		const at = Number(headerOf(seen, "x-envoy-attempt-count") ?? "0") - 1;
		const answer = at < answers.length ? answers[at] : fine;
		return typeof answer === "string" ? { bytes: answer } : answer;
	};
