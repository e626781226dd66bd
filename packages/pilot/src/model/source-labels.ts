import { onceEach } from "./once-each.ts";
import type { VirtualService } from "./push.ts";

/** Labels of clients that some route of a VirtualService matches by. */
export const sourceLabelsOf = onceEach(({ spec: { http = [], tls = [], tcp = [] } }: VirtualService): readonly string[] =>
	[...http, ...tls, ...tcp].flatMap(({ match }) => (match ?? []).flatMap(({ sourceLabels }) => Object.keys(sourceLabels ?? {}))),
);
