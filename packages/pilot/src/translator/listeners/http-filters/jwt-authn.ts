import type { HttpFilterBuilder } from "./filter.ts";

/** RequestAuthentication. */
export const buildJwtAuthnFilter: HttpFilterBuilder = ({ policies }) => policies.jwt;
