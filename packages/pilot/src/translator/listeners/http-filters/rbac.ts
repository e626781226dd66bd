import type { HttpFilterBuilder } from "./filter.ts";

/** AuthorizationPolicy with AUDIT, DENY and ALLOW, in that order. */
export const buildRbac: HttpFilterBuilder = ({ policies }) => policies.authorization.http.rbac;
