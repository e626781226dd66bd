export const venvDirectory: string;
export function findEnvoy(): string | undefined;
export function findProgram(name: string): string | undefined;
export function findHelm(): string | undefined;
export function findH2spec(): string | undefined;
export const h2specModule: string;
