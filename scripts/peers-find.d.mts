/** The virtual environment that `npm run peers` makes. */
export declare const venvDirectory: string;

/** The Envoy to compare with or to run under our agent, or undefined: WEFT_ENVOY if set, else the one that `npm run peers` installed. */
export declare function findEnvoy(): string | undefined;

/** A program by name, on PATH or in the administrator's folders. */
export declare function findProgram(name: string): string | undefined;
