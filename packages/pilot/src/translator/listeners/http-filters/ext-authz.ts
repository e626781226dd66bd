import type { HttpFilterBuilder } from "./filter.ts";

/** AuthorizationPolicy with CUSTOM: an RBAC filter that marks requests, and one that asks the authorizer about the marked ones. */
export const buildExtAuthz: HttpFilterBuilder = ({ policies }) => policies.authorization.http.custom;
