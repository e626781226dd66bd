export const venvDirectory: string;
export function findEnvoy(): string | undefined;
export function findProgram(name: string): string | undefined;
export function findHelm(): string | undefined;
