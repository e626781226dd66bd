import { type Static, type TSchema, type TUnsafe, Type } from "typebox";

/** What a schema describes, as an immutable value. */
export type DeepReadonly<T> = T extends (infer U)[] ? readonly DeepReadonly<U>[] : T extends object ? { readonly [K in keyof T]: DeepReadonly<T[K]> } : T;

export type StaticOf<S extends TSchema> = DeepReadonly<Static<S>>;

/**
 * Keywords of our own, read by the validator and turned into standard ones in CRDs:
 * `x-weft-one-of`: groups of which at most (or, with `x-weft-one-required`, exactly) one field is set, as a protobuf oneof.
 * `x-weft-deprecated`: how to write it today; `x-weft-deprecated-found`: Istio says so in analysis (IST0002), not in validation.
 * `x-weft-format`: a semantic type checked wherever it stands.
 */
export type WeftKeywords = {
	readonly "x-weft-one-of"?: readonly (readonly string[])[];
	readonly "x-weft-one-required"?: boolean;
	readonly "x-weft-deprecated"?: string;
	readonly "x-weft-deprecated-found"?: boolean;
	readonly "x-weft-format"?: "duration" | "regex" | "regex-or-any";
	readonly description?: string;
};

/** A closed object: unknown fields are errors. */
export const obj = <P extends Parameters<typeof Type.Object>[0]>(properties: P, keywords: WeftKeywords = {}) =>
	Type.Object(properties, { additionalProperties: false, ...keywords });

/** An object of which the mesh reads these fields; others are allowed. */
export const open = <P extends Parameters<typeof Type.Object>[0]>(properties: P, keywords: WeftKeywords = {}) =>
	Type.Object(properties, { additionalProperties: true, ...keywords });

export const opt = Type.Optional;
export const list = <S extends TSchema>(items: S, keywords: WeftKeywords & { minItems?: number } = {}) => Type.Array(items, keywords);
export const text = (keywords: WeftKeywords & { minLength?: number } = {}) => Type.String(keywords);
export const bool = (keywords: WeftKeywords = {}) => Type.Boolean(keywords);
export const double = (keywords: WeftKeywords = {}) => Type.Number(keywords);
export const int32 = (keywords: WeftKeywords = {}) => Type.Integer({ minimum: -2_147_483_648, maximum: 2_147_483_647, ...keywords });
export const uint32 = (keywords: WeftKeywords = {}) => Type.Integer({ minimum: 0, maximum: 4_294_967_295, ...keywords });
export const uint64 = (keywords: WeftKeywords = {}) => Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, ...keywords });

/** A protobuf enum by its names. */
export const oneOf = <const T extends readonly string[]>(names: T, keywords: WeftKeywords = {}): TUnsafe<T[number]> =>
	Type.Unsafe<T[number]>({ type: "string", enum: [...names], ...keywords });

export const map = <S extends TSchema>(values: S, keywords: WeftKeywords = {}): TUnsafe<Record<string, Static<S>>> =>
	Type.Unsafe<Record<string, Static<S>>>({ type: "object", additionalProperties: values, ...keywords });

export const labels = (keywords: WeftKeywords = {}) => map(Type.String(), keywords);

/** Kept in the user's form ("1.5s", "1h2m"); read it with `parseDurationMs`. */
export const duration = (keywords: WeftKeywords = {}) => Type.String({ "x-weft-format": "duration", ...keywords });

/** Any JSON value. */
export const anything = (keywords: WeftKeywords = {}): TUnsafe<unknown> => Type.Unsafe<unknown>({ "x-kubernetes-preserve-unknown-fields": true, ...keywords });

export const intOrString = (keywords: WeftKeywords = {}): TUnsafe<number | string> =>
	Type.Unsafe<number | string>({ "x-kubernetes-int-or-string": true, ...keywords });
