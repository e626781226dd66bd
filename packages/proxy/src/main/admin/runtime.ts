import type { AdminContext, AdminReply, AdminRequest } from "./routes.ts";

const usage = [
	"usage: /runtime_modify?key1=value1&key2=value2&keyN=valueN\n",
	"       or send the parameters as form values\n",
	"use an empty value to remove a previously added override",
].join("");

/** `/runtime`: what each layer says of each key, and what comes of it. */
export function showRuntime(_: AdminRequest, { runtime: { layers } }: AdminContext): AdminReply {
	const keys = [...new Set(layers.flatMap(({ entries }) => [...entries.keys()]))].sort();
	const entries = keys.map((key) => {
		const values = layers.map((layer) => layer.entries.get(key)?.text ?? "");
		return [key, { layer_values: values, final_value: values.findLast((value) => value !== "") ?? "" }] as const;
	});
	const shown = { layers: layers.map(({ name }) => name), entries: Object.fromEntries(entries) };
	return { type: "application/json", body: `${JSON.stringify(shown, undefined, 1)}\n` };
}

export function modifyRuntime({ query }: AdminRequest, { runtime }: AdminContext): AdminReply {
	if (query.size === 0) return { status: 400, body: usage };
	// Of a key that is there twice, the first counts.
	const wrong = runtime.modify(new Map([...query].reverse()));
	return wrong === undefined ? { body: "OK\n" } : { status: 503, body: wrong };
}
