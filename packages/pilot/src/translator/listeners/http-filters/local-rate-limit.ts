import type { HttpFilterBuilder } from "./filter.ts";

export const buildLocalRateLimit: HttpFilterBuilder = ({ policies, direction }) => (direction === "outbound" ? undefined : policies.rateLimits);
