import type { AdminReply } from "./routes.ts";

/** Pages of Envoy that tell of what there is none of here, with what to do instead. */
export const unsupportedPages: readonly (readonly [path: string, mutates: boolean, instead: string])[] = [
	["/allocprofiler", true, "a profile of allocations is taken by Node's inspector (--inspect)"],
	["/cpuprofiler", true, "a CPU profile is taken by Node itself: start with --cpu-prof"],
	["/heap_dump", false, "a heap snapshot is taken by Node itself: start with --heapsnapshot-signal"],
	["/heapprofiler", true, "a heap profile is taken by Node itself: start with --heap-prof"],
	["/memory/tcmalloc", false, "memory is not tcmalloc's; /memory has what there is"],
	["/peak_heap_dump", false, "a heap snapshot is taken by Node itself: start with --heapsnapshot-signal"],
	["/stats/recentlookups", false, "statistics are not looked up by name, so no look-ups are kept"],
	["/stats/recentlookups/clear", true, "statistics are not looked up by name, so no look-ups are kept"],
	["/stats/recentlookups/disable", true, "statistics are not looked up by name, so no look-ups are kept"],
	["/stats/recentlookups/enable", true, "statistics are not looked up by name, so no look-ups are kept"],
];

export function refuseUnsupported(instead: string): AdminReply {
	return { status: 501, body: `not supported: ${instead}\n` };
}
