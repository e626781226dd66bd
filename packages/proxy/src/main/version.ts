/** Replaced by the release's version when the proxy is bundled. */
export const version = "0.1.0";
