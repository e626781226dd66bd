import { startImageProcessor, startObjectDetector, startVisionWeb } from "./ai-vision.ts";
import { startDetails } from "./bookinfo-details.ts";
import { startProductpage } from "./bookinfo-productpage.ts";
import { startRatings } from "./bookinfo-ratings.ts";
import { startReviews } from "./bookinfo-reviews.ts";
import { startCurlLoop } from "./curl-loop.ts";
import type { StartApp } from "./environment.ts";
import { startGrpcEcho } from "./grpc-echo.ts";
import { startHelloworld } from "./helloworld.ts";
import { startHttpEcho } from "./http-echo.ts";
import { startHttpbin } from "./httpbin.ts";
import { startRateLimit } from "./rate-limit.ts";
import { startTcpEcho } from "./tcp-echo.ts";

/** Every sample app by the name the command line takes. */
export const apps: ReadonlyMap<string, StartApp> = new Map<string, StartApp>([
	["productpage", startProductpage],
	["details", startDetails],
	["ratings", startRatings],
	["reviews", startReviews],
	["httpbin", startHttpbin],
	["helloworld", startHelloworld],
	["http-echo", startHttpEcho],
	["grpc-echo", startGrpcEcho],
	["rate-limit", startRateLimit],
	["tcp-echo", startTcpEcho],
	["curl-loop", startCurlLoop],
	["image-processor", startImageProcessor],
	["object-detector", startObjectDetector],
	["vision-web", startVisionWeb],
]);
