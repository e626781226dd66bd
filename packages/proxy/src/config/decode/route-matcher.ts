import type { Route as RouteMessage, RouteList } from "@weft/xds/generated/envoy/config/route/v3/route_components.ts";
import type { Matcher } from "@weft/xds/generated/xds/type/matcher/v3/matcher.ts";
import type { MatcherTree } from "../matcher-tree.ts";
import type { Route, VirtualHost } from "../routes.ts";
import { type At, report, under } from "./issues.ts";
import { decodeMatcherTree, routeInputs } from "./matcher-tree.ts";

/** `matcher` of a virtual host: all routes of its actions, and a tree that leads to their positions. */
export function decodeRouteMatcher(
	at: At,
	message: Matcher,
	decodeRoute: (at: At, route: RouteMessage) => Route | undefined,
): Required<Pick<VirtualHost, "routes" | "matcher">> {
	const routes: Route[] = [];
	const matcher: MatcherTree<readonly number[]> = decodeMatcherTree(at, message, {
		inputs: new Set(routeInputs),
		refusal: "requirement violation while creating route match tree: Route table can only match on request headers, saw",
		decodeAction(here, { typeName, message: action }) {
			const add = (at: At, route: RouteMessage): readonly number[] => {
				const decoded = decodeRoute(at, route);
				return decoded === undefined ? [] : [routes.push(decoded) - 1];
			};
			if (typeName === "envoy.config.route.v3.Route") return add(here, action as RouteMessage);
			if (typeName === "envoy.config.route.v3.RouteList") return (action as RouteList).routes.flatMap((route, i) => add(under(here, `routes[${i}]`), route));
			report(here, `action of type ${typeName} is no route (envoy.config.route.v3.Route, envoy.config.route.v3.RouteList)`);
			return undefined;
		},
	});
	return { routes, matcher };
}
