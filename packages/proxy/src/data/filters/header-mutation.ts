import type { Mutation, Mutations } from "../../config/http-filters.ts";
import { compileHeaderMutations, type MutateHeaders } from "../headers/header-mutations.ts";
import type { StreamFilter } from "../http/stream-filter.ts";
import type { FilterInputs } from "./filter-inputs.ts";

/** `overrides` from the most specific to the least: all of them apply, after the filter's own. */
export function compileHeaderMutation(
	own: Mutations,
	overrides: readonly Mutations[],
	mostSpecificWins: boolean,
	{ context, errors }: FilterInputs,
): StreamFilter {
	// The last one to speak wins.
	const levels = [own, ...(mostSpecificWins ? overrides.toReversed() : overrides)];
	const compile = (mutations: readonly Mutation[]): MutateHeaders | undefined =>
		compileHeaderMutations(
			mutations.map((mutation) => (mutation.kind === "remove" ? { add: [], remove: [mutation.name] } : { add: [mutation], remove: [] })),
			context.environment,
			errors,
		);
	const request = compile(levels.flatMap((level) => level.request));
	const response = compile(levels.flatMap((level) => level.response));
	return {
		...(request && {
			onRequestHead({ request: head, info }) {
				request(head, info);
				return "continue";
			},
		}),
		...(response && { onResponseHead: ({ response: head, info }) => response(head, info) }),
	};
}
