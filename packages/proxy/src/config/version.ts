/** Replaced by the release's version when the proxy is bundled. */
export const version = "0.1.0";

/** The release of Istio whose agent and proxy this one behaves as, in the node metadata. */
export const istioVersion = "1.30.3";
