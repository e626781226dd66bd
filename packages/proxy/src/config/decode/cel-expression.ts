import type { Constant, Expr, Expr_Call, Expr_CreateStruct } from "@weft/xds/generated/google/api/expr/v1alpha1/syntax.ts";
import type { CelNode } from "../cel-node.ts";
import { type At, type Duration, report, under } from "./issues.ts";

/** Stands where there was an error. */
const nothing: CelNode = { kind: "literal", value: null };

/** Operators as parsers of CEL name them (https://github.com/google/cel-go/blob/master/common/operators/operators.go). */
const binary: Readonly<Record<string, string>> = {
	"_&&_": "&&",
	"_||_": "||",
	"_==_": "==",
	"_!=_": "!=",
	"_<_": "<",
	"_<=_": "<=",
	"_>_": ">",
	"_>=_": ">=",
	"_+_": "+",
	"_-_": "-",
	"_*_": "*",
	"_/_": "/",
	"_%_": "%",
	"@in": "in",
	_in_: "in",
	in: "in",
};
const unary: Readonly<Record<string, "!" | "-">> = { "!_": "!", "-_": "-" };

/** An expression that came parsed (`google.api.expr.v1alpha1.Expr`). Messages are refused; comprehensions (macros over lists and maps) are in Envoy, too. */
export function decodeCelExpression(at: At, expression: Expr | undefined): CelNode {
	if (expression === undefined) return nothing;
	const { callExpr, constExpr, identExpr, listExpr, selectExpr, structExpr } = expression;
	const inner = (name: string, one: Expr | undefined) => decodeCelExpression(under(at, name), one);
	if (constExpr !== undefined) return constantOf(constExpr);
	if (identExpr !== undefined) return { kind: "name", name: identExpr.name };
	if (selectExpr !== undefined) {
		const field: CelNode = { kind: "field", of: inner("selectExpr.operand", selectExpr.operand), name: selectExpr.field };
		return selectExpr.testOnly ? { kind: "call", target: undefined, name: "has", args: [field] } : field;
	}
	if (listExpr !== undefined) return { kind: "list", items: listExpr.elements.map((one, i) => inner(`listExpr.elements[${i}]`, one)) };
	if (callExpr !== undefined) return decodeCall(at, callExpr);
	if (structExpr !== undefined && structExpr.messageName === "") return { kind: "map", entries: decodeEntries(under(at, "structExpr"), structExpr) };
	const { comprehensionExpr } = expression;
	report(
		at,
		comprehensionExpr === undefined
			? `message ${structExpr?.messageName} in struct_expr is not implemented`
			: "comprehension support is disabled, as it is in Envoy",
	);
	return nothing;
}

function decodeCall(at: At, call: Expr_Call): CelNode {
	const { function: name } = call;
	const target = call.target && decodeCelExpression(under(at, "callExpr.target"), call.target);
	const args = call.args.map((one, i) => decodeCelExpression(under(at, `callExpr.args[${i}]`), one));
	const [first, second, third] = args;
	const op = binary[name];
	const sign = unary[name];
	if (op !== undefined && first !== undefined && second !== undefined) return { kind: "binary", op, left: first, right: second };
	if (sign !== undefined && first !== undefined) return { kind: "unary", op: sign, of: first };
	if (name === "_[_]" && first !== undefined && second !== undefined) return { kind: "index", of: first, at: second };
	if (name === "_?_:_" && first !== undefined && second !== undefined && third !== undefined) return { kind: "choice", test: first, yes: second, no: third };
	return { kind: "call", target, name, args };
}

function decodeEntries(at: At, { entries }: Expr_CreateStruct): readonly (readonly [CelNode, CelNode])[] {
	return entries.map(({ mapKey, value }, i) => {
		const here = under(at, `entries[${i}]`);
		return [decodeCelExpression(under(here, "mapKey"), mapKey), decodeCelExpression(under(here, "value"), value)] as const;
	});
}

function constantOf(constant: Constant): CelNode {
	const { durationValue, timestampValue, uint64Value } = constant;
	if (uint64Value !== undefined) return { kind: "uint", value: uint64Value };
	if (durationValue !== undefined) return { kind: "duration", ms: msOf(durationValue) };
	if (timestampValue !== undefined) return { kind: "timestamp", ms: msOf(timestampValue) };
	return { kind: "literal", value: constant.boolValue ?? constant.int64Value ?? constant.doubleValue ?? constant.stringValue ?? constant.bytesValue ?? null };
}

const msOf = ({ seconds, nanos }: Duration): number => Number(seconds) * 1000 + nanos / 1e6;
