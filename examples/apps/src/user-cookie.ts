const cookieName = "user";
const userBytesMax = 64;

/** The signed-in user, from the cookie that `/login` set; undefined when there is none that can go into a header. */
export function userFromCookie(cookieHeader: string | undefined): string | undefined {
	for (const pair of (cookieHeader ?? "").split(";")) {
		const mark = pair.indexOf("=");
		if (mark > 0 && pair.slice(0, mark).trim() === cookieName) return decodeUser(pair.slice(mark + 1).trim());
	}
	return undefined;
}

/** A user name fit for the `end-user` header: visible ASCII and spaces inside, bounded. */
export function validUser(name: string): boolean {
	return name.length > 0 && name.length <= userBytesMax && /^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$/.test(name);
}

/** `Set-Cookie` value that signs the user in. A sample's log-in: the password is not looked at, and nothing is signed. */
export function loginCookie(user: string): string {
	return `${cookieName}=${encodeURIComponent(user)}; Path=/; HttpOnly; SameSite=Lax`;
}

/** `Set-Cookie` value that signs the user out. */
export function logoutCookie(): string {
	return `${cookieName}=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0`;
}

function decodeUser(value: string): string | undefined {
	try {
		const user = decodeURIComponent(value);
		return validUser(user) ? user : undefined;
	} catch {
		// A cookie we did not write.
		return undefined;
	}
}
