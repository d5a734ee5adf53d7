// Calls to Turnline's HTTP API: JSON in and out, refusals as `Problem`, no answer at all as `Unreachable`.

/** The server refused; `code` is the stable word for why. */
export class Problem extends Error {
  constructor(status, body, retryAfter) {
    super(body.detail ?? body.title ?? `HTTP ${status}`);
    this.status = status;
    this.code = body.code ?? `http_${status}`;
    this.detail = body.detail ?? body.title ?? null;
    this.retryAfter = retryAfter; // seconds, or null
  }

  /** Asking the same again later may go well: nothing about the request itself is wrong. */
  get passing() {
    return this.status === 429 || this.status >= 500;
  }
}

/** No answer came. Whether the call had an effect is not known, so repeat it under its old key. */
export class Unreachable extends Error {}

// The server's clock minus ours, in milliseconds: a visitor's clock may be wrong by hours.
let offset = 0;

/** Now by the server's clock, as `Date.now()`. */
export function serverNow() {
  return Date.now() + offset;
}

/**
 * Calls `path`. Options: `method`, `body` (an object), `token` (Bearer), `key` (Idempotency-Key), `timeout` (ms).
 * Answers the parsed body (null for 204). Throws `Problem` or `Unreachable`.
 */
export async function call(path, { method = 'GET', body, token, key, timeout = 15000 } = {}) {
  const headers = { accept: 'application/json' };
  if (body !== undefined) headers['content-type'] = 'application/json';
  if (token) headers.authorization = `Bearer ${token}`;
  if (key) headers['idempotency-key'] = key;
  let response;
  let text;
  try {
    response = await fetch(path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: 'no-store',
      signal: AbortSignal.timeout(timeout),
    });
    text = await response.text();
  } catch (cause) {
    throw new Unreachable('no answer', { cause });
  }
  readClock(response.headers);
  const answer = parse(text);
  if (response.ok) return answer;
  throw new Problem(response.status, answer ?? {}, retryAfter(response.headers));
}

/** Every item of a list, following `next`; at most `pages` pages. */
export async function list(path, options = {}, pages = 20) {
  const items = [];
  let cursor;
  for (let page = 0; page < pages; page += 1) {
    const query = cursor === undefined ? '' : `${path.includes('?') ? '&' : '?'}cursor=${encodeURIComponent(cursor)}`;
    const answer = await call(path + query, options);
    items.push(...(answer?.items ?? []));
    if (answer?.next == null) break;
    cursor = answer.next;
  }
  return items;
}

/** 128 random bits as text: a fresh Idempotency-Key. */
export function randomKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(18));
  return btoa(String.fromCharCode(...bytes)).replaceAll('+', '-').replaceAll('/', '_');
}

/** Milliseconds before try number `attempt` (0, 1, …): exponential with jitter, so a crowd does not return as one. */
export function backoff(attempt, { first = 500, most = 15000, random = Math.random } = {}) {
  const bound = Math.min(most, first * 2 ** Math.min(attempt, 10));
  return bound / 2 + (bound / 2) * random();
}

export function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null; // empty, or a proxy's own error page
  }
}

function retryAfter(headers) {
  const seconds = Number.parseInt(headers.get('retry-after') ?? '', 10);
  return Number.isFinite(seconds) && seconds >= 0 ? Math.min(seconds, 600) : null;
}

function readClock(headers) {
  const date = Date.parse(headers.get('date') ?? '');
  // The header counts whole seconds: smaller differences are noise.
  if (Number.isFinite(date)) offset = Math.abs(date - Date.now()) > 2000 ? date - Date.now() : 0;
}
