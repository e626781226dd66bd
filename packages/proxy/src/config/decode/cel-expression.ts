import type { Constant, Expr, Expr_Call } from "@weft/xds/generated/google/api/expr/v1alpha1/syntax.ts";
import type { CelNode } from "../cel-node.ts";
import { type At, report, under } from "./issues.ts";

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

/** An expression that came parsed (`google.api.expr.v1alpha1.Expr`). Structures and comprehensions (macros) are refused. */
export function decodeCelExpression(at: At, expression: Expr | undefined): CelNode {
	if (expression === undefined) return nothing;
	const { callExpr, constExpr, identExpr, listExpr, selectExpr } = expression;
	const inner = (name: string, one: Expr | undefined) => decodeCelExpression(under(at, name), one);
	if (constExpr !== undefined) return { kind: "literal", value: constantOf(at, constExpr) };
	if (identExpr !== undefined) return { kind: "name", name: identExpr.name };
	if (selectExpr !== undefined) {
		const field: CelNode = { kind: "field", of: inner("selectExpr.operand", selectExpr.operand), name: selectExpr.field };
		return selectExpr.testOnly ? { kind: "call", target: undefined, name: "has", args: [field] } : field;
	}
	if (listExpr !== undefined) return { kind: "list", items: listExpr.elements.map((one, i) => inner(`listExpr.elements[${i}]`, one)) };
	if (callExpr !== undefined) return decodeCall(at, callExpr);
	report(at, expression.comprehensionExpr === undefined ? "struct_expr is not implemented" : "comprehension_expr is not implemented");
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

function constantOf(at: At, constant: Constant): string | number | boolean | null {
	if (constant.boolValue !== undefined) return constant.boolValue;
	if (constant.int64Value !== undefined) return Number(constant.int64Value);
	if (constant.uint64Value !== undefined) return Number(constant.uint64Value);
	if (constant.doubleValue !== undefined) return constant.doubleValue;
	if (constant.stringValue !== undefined) return constant.stringValue;
	// Durations and times are milliseconds, as those that `duration` and `timestamp` give.
	if (constant.durationValue !== undefined) return Number(constant.durationValue.seconds) * 1000 + constant.durationValue.nanos / 1e6;
	if (constant.bytesValue !== undefined) report(at, "bytes_value is not implemented");
	if (constant.timestampValue !== undefined) report(at, "timestamp_value is not implemented");
	return null;
}
