import type { MatcherTree } from "../../config/matcher-tree.ts";
import { type ConnectionInfo, createStreamInfo } from "../log/stream-info.ts";
import { createCompileContext } from "../match/compile-context.ts";
import type { ConnectionFacts } from "../match/filter-chain.ts";
import { compileMatcherTree } from "../match/matcher-tree.ts";
import type { ChainSlot } from "./chain-slot.ts";

/** The chain that `filter_chain_matcher` names, `otherwise` where it names none; undefined: one that is not there, as in Envoy whatever the default. */
export type ChooseChain = (info: ConnectionInfo, facts: ConnectionFacts, otherwise: ChainSlot | undefined) => ChainSlot | undefined;

export function compileChainMatcher(tree: MatcherTree<{ readonly chain: string }>, chains: readonly ChainSlot[], errors: string[]): ChooseChain {
	const compile = createCompileContext();
	const decide = compileMatcherTree(tree, compile);
	errors.push(...compile.errors);
	const byName = new Map(chains.map((slot) => [slot.config.name, slot]));
	return (info, facts, otherwise) => {
		info.detected = facts;
		const action = decide(createStreamInfo(info));
		return action === undefined ? otherwise : byName.get(action.chain);
	};
}
