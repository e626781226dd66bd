export interface OutlierDetection {
	readonly consecutive5xx: number;
	readonly enforcingConsecutive5xx: number;
	readonly consecutiveGatewayFailure: number;
	readonly enforcingConsecutiveGatewayFailure: number;
	readonly splitExternalLocalOrigin: boolean;
	readonly consecutiveLocalOriginFailure: number;
	readonly enforcingLocalOriginFailure: number;
	readonly intervalMs: number;
	readonly baseEjectionMs: number;
	readonly maxEjectionMs: number;
	readonly maxEjectionJitterMs: number;
	readonly maxEjectionPercent: number;
	readonly alwaysEjectOneHost: boolean;
	/** A good active check ends an ejection. */
	readonly unejectsOnGoodCheck: boolean;
	readonly successRate: RateDetection & { readonly stdevFactor: number };
	readonly failurePercentage: RateDetection & { readonly thresholdPercent: number };
}

/** What is looked at once an interval: hosts with enough requests, if they are enough. */
export interface RateDetection {
	readonly minimumHosts: number;
	readonly requestVolume: number;
	readonly enforcingPercent: number;
	readonly enforcingLocalOriginPercent: number;
}
