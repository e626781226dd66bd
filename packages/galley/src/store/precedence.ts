/**
 * Where configuration comes from, in order of precedence. Of two sources that define one object (kind, namespace and name) the first
 * one's is in force and the other's a conflict, of which a warning tells; it steps in when the first goes.
 *
 * 1. `files`: written by whoever runs the control plane.
 * 2. `kubernetes`: written by the users of the cluster, as far as it lets them.
 * 3. `registrations`: said by workloads of themselves, where no API server keeps it.
 */
export const sources = { files: "files", kubernetes: "kubernetes", registrations: "registrations" } as const;

export const sourcePrecedence: readonly string[] = [sources.files, sources.kubernetes, sources.registrations];
