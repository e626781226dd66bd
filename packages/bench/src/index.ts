export { runDataPlane } from "./data-plane/data-plane.ts";
