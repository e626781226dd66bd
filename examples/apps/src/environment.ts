/** Environment variables as an argument, so that every app can be started in a test without touching the process. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** What an app gets to start with. */
export type AppContext = {
	readonly env: Environment;
	/** Words after the app's name on the command line. */
	readonly args: readonly string[];
	readonly log: (line: string) => void;
};

/** A started app. `ports` are the ports really bound, in the order asked for. */
export type RunningApp = {
	readonly ports: readonly number[];
	/** Stops accepting, lets requests in flight finish (bounded), resolves when everything is closed. */
	readonly close: () => Promise<void>;
};

export type StartApp = (context: AppContext) => Promise<RunningApp>;

/**
 * Reads a whole number from the environment.
 * @throws Error naming the variable when it is set to something else.
 */
export function integerFrom(env: Environment, name: string, fallback: number, max = Number.MAX_SAFE_INTEGER): number {
	const text = env[name];
	if (text === undefined || text === "") return fallback;
	const value = Number(text);
	if (!Number.isInteger(value) || value < 0 || value > max) throw new Error(`${name}: expected a whole number from 0 to ${max}, got "${text}"`);
	return value;
}

/** Text from the environment; an empty value counts as unset, as container environments often carry empty variables. */
export function textFrom(env: Environment, name: string, fallback: string): string {
	const text = env[name];
	return text === undefined || text === "" ? fallback : text;
}

/** The address to listen on. Port 0 asks the system for a free one. */
export function listenAddress(env: Environment, defaultPort: number): { readonly host: string; readonly port: number } {
	return { host: textFrom(env, "HOST", "0.0.0.0"), port: integerFrom(env, "PORT", defaultPort, 65_535) };
}

/** The name this instance answers with: the pod's where it is told, else the machine's. */
export function instanceName(env: Environment): string {
	return textFrom(env, "POD_NAME", textFrom(env, "HOSTNAME", "localhost"));
}
