import { parseDurationMs, type StringMatch } from "@weft/api";
import { type Any, type MessageFns, packAny } from "@weft/xds";
import { HeaderValueOption_HeaderAppendAction } from "@weft/xds/generated/envoy/config/core/v3/base.ts";
import { FractionalPercent_DenominatorType } from "@weft/xds/generated/envoy/type/v3/percent.ts";

// Small Envoy values that routes and listeners share.

export interface Duration {
	readonly seconds: bigint;
	readonly nanos: number;
}

export const zeroDuration: Duration = { seconds: 0n, nanos: 0 };

export function durationOfMs(ms: number): Duration {
	const seconds = Math.floor(ms / 1000);
	return { seconds: BigInt(seconds), nanos: Math.round((ms - seconds * 1000) * 1e6) };
}

/** A duration as the user writes it ("1.5s"); undefined when it is absent or unreadable (validation has refused the latter). */
export function durationOf(text: string | undefined): Duration | undefined {
	const ms = text === undefined ? undefined : parseDurationMs(text);
	return ms === undefined ? undefined : durationOfMs(ms);
}

/** The scalars inside a StringMatcher: one of them is set. */
export interface StringMatcherValue {
	readonly exact?: string;
	readonly prefix?: string;
	readonly safeRegex?: { readonly regex: string };
}

/** Undefined for an empty matcher, which asks for presence only. */
export function stringMatcherOf(match: StringMatch): StringMatcherValue | undefined {
	if (match.exact !== undefined) return { exact: match.exact };
	if (match.prefix !== undefined) return { prefix: match.prefix };
	if (match.regex !== undefined) return { safeRegex: { regex: match.regex } };
	return undefined;
}

export interface FractionalPercentValue {
	readonly numerator: number;
	readonly denominator: FractionalPercent_DenominatorType;
}

/** Istio sends percentages in parts per million, so that four decimals survive. */
export function perMillion(percent: number): FractionalPercentValue {
	return { numerator: Math.trunc(percent * 10_000), denominator: FractionalPercent_DenominatorType.MILLION };
}

export interface HeaderOption {
	readonly header: { readonly key: string; readonly value: string };
	readonly appendAction: HeaderValueOption_HeaderAppendAction;
}

export function headerOption(key: string, value: string, overwrite: boolean): HeaderOption {
	const action = HeaderValueOption_HeaderAppendAction;
	return { header: { key, value }, appendAction: overwrite ? action.OVERWRITE_IF_EXISTS_OR_ADD : action.APPEND_IF_EXISTS_OR_ADD };
}

/** `fromPartial` and `packAny` in one. */
export function packed(typeName: string, fns: MessageFns, partial: object): Any {
	return packAny(typeName, fns, fns.fromPartial(partial));
}

/** Metadata that names the object a route came from (`metadata.filter_metadata.istio.config`). */
export function configMetadata(configPath: string): { readonly filterMetadata: Record<string, { config: string }> } {
	return { filterMetadata: { istio: { config: configPath } } };
}
