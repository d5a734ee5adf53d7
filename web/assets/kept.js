// What a browser keeps of a visit across reloads, one set of entries a room, shared by its tabs.

const MEMORY = new Map(); // for browsers that refuse storage: then a reload starts anew

/** The kept facts of one room: `ticket`, `joinKey`, `pass`, `goTo`, `farthest`, and whatever a page adds. */
export class Kept {
  #prefix;
  #storage;

  constructor(room, storage = browserStorage()) {
    this.#prefix = `turnline:${room}:`;
    this.#storage = storage;
  }

  /** The full storage key of `name`, as `storage` events name it. */
  key(name) {
    return this.#prefix + name;
  }

  get(name) {
    return this.#storage.getItem(this.key(name));
  }

  /** Keeps `value`; null or undefined forgets it. */
  set(name, value) {
    try {
      if (value == null) this.#storage.removeItem(this.key(name));
      else this.#storage.setItem(this.key(name), String(value));
    } catch {
      // Storage is full: nothing a visitor could do about it, and the page itself still knows.
    }
  }

  getJson(name) {
    try {
      return JSON.parse(this.get(name));
    } catch {
      return null;
    }
  }

  setJson(name, value) {
    this.set(name, value == null ? null : JSON.stringify(value));
  }

  /** The pass of this room, if one is kept and its time is not over at `now` (ms). */
  livePass(now) {
    const pass = this.get('pass');
    const claims = pass && passClaims(pass);
    return claims && claims.exp * 1000 > now ? pass : null;
  }

  /** Keeps the pass, and shows it to the shop's proxy (`auth_request`) as a cookie until it ends. */
  setPass(pass, now) {
    this.set('pass', pass);
    const claims = pass && passClaims(pass);
    setPassCookie(pass, claims ? Math.floor(claims.exp - now / 1000) : 0);
  }
}

/** The claims of a pass, unverified (the server verifies); null when it is none. */
export function passClaims(pass) {
  try {
    const part = pass.split('.')[1].replaceAll('-', '+').replaceAll('_', '/');
    const bytes = Uint8Array.from(atob(part), (char) => char.charCodeAt(0));
    const claims = JSON.parse(new TextDecoder().decode(bytes));
    return Number.isFinite(claims.exp) ? claims : null;
  } catch {
    return null;
  }
}

/** Sets the cookie `turnline_pass` for `seconds`; none or no pass removes it. */
export function setPassCookie(pass, seconds) {
  if (typeof document === 'undefined') return;
  const secure = location.protocol === 'https:' ? '; secure' : '';
  const age = pass && seconds > 0 ? seconds : 0;
  document.cookie = `turnline_pass=${age ? pass : ''}; path=/; max-age=${age}; samesite=lax${secure}`;
}

function browserStorage() {
  try {
    const probe = 'turnline:probe';
    globalThis.localStorage.setItem(probe, '1');
    globalThis.localStorage.removeItem(probe);
    return globalThis.localStorage;
  } catch {
    return {
      getItem: (key) => MEMORY.get(key) ?? null,
      setItem: (key, value) => MEMORY.set(key, value),
      removeItem: (key) => MEMORY.delete(key),
    };
  }
}
