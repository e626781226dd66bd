import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ConfigDiscovery, ExtensionConfig } from "./discovered-filters.ts";
import { foldListenerFilters, type ListenerFilter, type ListenerFilterSettings, withDiscoveredFilters } from "./listener-filters.ts";
import type { Listener } from "./listeners.ts";

const none: ListenerFilterSettings = {
	inspectTls: false,
	inspectHttp: false,
	inspectsHttpFirst: false,
	tlsInspectorDisabled: undefined,
	httpInspectorDisabled: undefined,
	originalDst: false,
	originalSrc: undefined,
	proxyProtocol: undefined,
};
const placed = (filter: ListenerFilter, disabled?: Listener["tlsInspectorDisabled"]) => ({ filter, disabled });
const tls = { kind: "tlsInspector" } as const;
const http = { kind: "httpInspector" } as const;

describe("listener filters", () => {
	it("are folded in their order, beside what the listener has anyway", () => {
		assert.equal(foldListenerFilters([placed(http), placed(tls)], none).inspectsHttpFirst, true);
		assert.equal(foldListenerFilters([placed(tls), placed(http)], none).inspectsHttpFirst, false);
		assert.equal(foldListenerFilters([placed(tls)], { ...none, originalDst: true }).originalDst, true);
		const disabled = { kind: "any" } as const;
		assert.deepEqual(foldListenerFilters([placed(tls, disabled)], none).tlsInspectorDisabled, disabled);
	});

	it("that come by themselves stand where they are placed; what does not fit is as if it had not come", () => {
		const discovery: ConfigDiscovery<ListenerFilter> = {
			typeNames: ["http"],
			fallback: undefined,
			isAwaited: true,
			isLast: false,
		};
		const listenerOf = (fallback?: ListenerFilter) => {
			const filter = { kind: "discovered", name: "late", discovery: { ...discovery, fallback } } as const;
			return { ...none, discoverableFilters: [{ filter, disabled: undefined }, placed(tls)] } as unknown as Listener;
		};
		const come = (typeName: string, listener: ListenerFilter) =>
			new Map<string, ExtensionConfig>([["late", { name: "late", typeName, http: undefined, network: undefined, listener }]]);
		assert.equal(withDiscoveredFilters(listenerOf(), new Map()), undefined);
		assert.equal(withDiscoveredFilters(listenerOf(), come("other", http)), undefined);
		assert.equal(withDiscoveredFilters(listenerOf(http), come("other", tls))?.inspectHttp, true);
		const found = withDiscoveredFilters(listenerOf(), come("http", http));
		assert.deepEqual([found?.inspectHttp, found?.inspectTls, found?.inspectsHttpFirst], [true, true, true]);
	});
});
