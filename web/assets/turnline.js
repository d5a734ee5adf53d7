// Turnline's browser client: takes one place in a room's line and keeps it, through reloads, lost
// connections, restarts of the server and several tabs, until the visitor is let in or leaves.
//
//   import { Turnline } from 'https://queue.example/assets/turnline.js';
//   const line = new Turnline({ room: 'spring-sale', base: 'https://queue.example' });
//   line.addEventListener('change', () => show(line.state));   // fields: see line-state.js
//   line.start();
//
// Then `line.leave()`, `line.renew()` (more time once admitted), `line.rejoin()` (after the end).

import { Problem, Unreachable, backoff, call, randomKey, serverNow } from './api.js';
import { Kept, setPassCookie } from './kept.js';
import { initialState, reduce } from './line-state.js';

export { initialState, reduce, progress } from './line-state.js';

const POLL_AFTER_FAILURES = 3; // connects in a row that brought nothing: something on the way blocks WebSockets
const POLL_FOR_MS = 60_000; // then try a channel again
const QUIET_MS = 75_000; // a channel silent for so long is checked: its network may be gone unnoticed
const STEADY_MS = 5_000; // a channel that held so long was a good one

export class Turnline extends EventTarget {
  #url;
  #kept;
  #join;
  #running = null; // AbortController of the present run
  #socket = null;
  #lastWord = 0;
  #pollAfter = 5;

  /** `room`; `base`: origin of the server; `lane`, `visitorToken`: for rooms that ask for them; `storage`. */
  constructor({ room, base = '', lane, visitorToken, storage }) {
    super();
    this.state = initialState(room);
    this.#url = `${base}/v1/rooms/${encodeURIComponent(room)}`;
    this.#kept = new Kept(room, storage);
    this.#join = {};
    if (lane) this.#join.lane = lane;
    if (visitorToken) this.#join.visitor_token = visitorToken;
    this.#watchWindow();
  }

  /** Resumes the kept place, or takes one. Ends when the ticket ends; never throws. */
  start() {
    this.stop();
    this.#running = new AbortController();
    return this.#run(this.#running.signal);
  }

  /** Stops listening; the place is kept. */
  stop() {
    this.#running?.abort();
    this.#running = null;
  }

  /** Gives the place, or the slot, back. Throws `Unreachable` or `Problem` when the server has not agreed. */
  async leave() {
    const token = this.#kept.get('ticket');
    if (token) await call(`${this.#url}/tickets/me`, { method: 'DELETE', token });
    this.#apply({ type: 'ended', reason: 'left' });
    this.stop();
  }

  /** Asks for more time; answers whether the end moved. Throws `Unreachable` or `Problem`. */
  async renew() {
    const before = this.state.expiresAt;
    const answer = await call(`${this.#url}/tickets/me/renew`, { method: 'POST', token: this.#kept.get('ticket') });
    this.#apply({ type: 'status', ...answer });
    return this.state.expiresAt !== before;
  }

  /** Takes a new place at the back, after the old one ended. */
  rejoin() {
    this.stop();
    this.#running = new AbortController();
    return this.#run(this.#running.signal, true);
  }

  async #run(signal, again = false) {
    this.#apply({ type: 'connection', connection: 'connecting' });
    this.#readRoom();
    this.#resumeKept();
    if (again) {
      this.#apply({ type: 'joining' });
      await this.#joinRoom(signal);
    } else {
      await this.#resume(signal);
    }
    let failures = 0;
    while (!this.#finished(signal)) {
      const { heldMs, code } = await this.#listen(signal);
      if (this.#finished(signal)) return;
      this.#apply({ type: 'connection', connection: 'lost' });
      failures = heldMs > STEADY_MS ? 0 : failures + 1;
      await this.#pause(reconnectDelay(code, failures), signal);
      await this.#resume(signal);
      this.#readRoom(); // what was announced meanwhile
      if (failures >= POLL_AFTER_FAILURES) await this.#poll(signal, POLL_FOR_MS);
    }
  }

  /** Until the server has said how the ticket stands; a ticket it does not know is replaced by a new place. */
  async #resume(signal) {
    for (let attempt = 0; !this.#finished(signal); attempt += 1) {
      const ticket = this.#kept.get('ticket');
      if (!ticket) return this.#joinRoom(signal);
      try {
        return await this.#readStatus(ticket);
      } catch (error) {
        if (error instanceof Problem && error.status === 401) {
          this.#forget(ticket);
          this.#apply({ type: 'joining', anew: true });
        } else if (error instanceof Problem && !error.passing) {
          this.#apply({ type: 'refused', problem: error, final: true });
        } else {
          await this.#wait(error, attempt, signal);
        }
      }
    }
  }

  /** Takes a place. The key outlives a reload in the middle, so that the same place is answered. */
  async #joinRoom(signal) {
    const ended = this.#kept.get('ticket');
    for (let attempt = 0; !this.#finished(signal); attempt += 1) {
      try {
        return await withLock(this.#kept.key('join'), () => this.#joinOnce(ended, signal));
      } catch (error) {
        if (error instanceof Problem && error.status === 401 && this.#kept.get('ticket')) {
          this.#forget(this.#kept.get('ticket'));
        } else if (error instanceof Problem && !error.passing) {
          this.#kept.set('joinKey', null);
          this.#apply({ type: 'refused', problem: error, final: true });
        } else {
          await this.#wait(error, attempt, signal);
        }
      }
    }
  }

  async #joinOnce(ended, signal) {
    if (signal.aborted) return;
    const held = this.#kept.get('ticket');
    // Another tab has joined while this one waited for the lock.
    if (held && held !== ended) return this.#readStatus(held);
    const key = this.#kept.get('joinKey') ?? randomKey();
    this.#kept.set('joinKey', key);
    const answer = await call(`${this.#url}/tickets`, { method: 'POST', body: this.#join, token: held, key });
    this.#kept.set('ticket', answer.ticket);
    this.#kept.set('joinKey', null);
    if (answer.ticket !== held) for (const name of ['pass', 'goTo', 'farthest']) this.#kept.set(name, null);
    this.#apply({ type: 'status', ...answer });
  }

  async #readStatus(token) {
    const answer = await call(`${this.#url}/tickets/me`, { token });
    this.#pollAfter = Math.min(60, Math.max(1, answer.poll_after_seconds ?? 5));
    this.#lastWord = Date.now();
    this.#apply({ type: 'status', ...answer });
  }

  async #readRoom() {
    try {
      const answer = await call(this.#url);
      this.#apply({ ...answer, type: 'room' });
    } catch {
      // Only ornament: what matters comes with the ticket.
    }
  }

  /** Listens on one channel until it is gone. Answers how long it held and its close code. */
  #listen(signal) {
    return new Promise((resolve) => {
      const ticket = this.#kept.get('ticket');
      const url = new URL(`${this.#url}/channel`, globalThis.location?.href);
      url.protocol = url.protocol.replace('http', 'ws');
      const socket = new WebSocket(url, ['turnline.v1', `ticket.${ticket}`]);
      let openedAt = null;
      // A closing handshake over a dead network takes long: whoever drops the socket does not wait for it.
      const done = (code) => {
        clearInterval(watch);
        signal.removeEventListener('abort', abort);
        socket.onopen = socket.onmessage = socket.onclose = null;
        if (this.#socket?.socket === socket) this.#socket = null;
        if (socket.readyState < WebSocket.CLOSING) socket.close();
        resolve({ heldMs: openedAt === null ? 0 : Date.now() - openedAt, code });
      };
      const abort = () => done(null);
      const watch = setInterval(() => this.#checkQuiet(ticket, done), QUIET_MS / 5);
      signal.addEventListener('abort', abort);
      this.#socket = { socket, drop: () => done(null) };
      socket.onopen = () => {
        openedAt = this.#lastWord = Date.now();
        this.#apply({ type: 'connection', connection: 'live' });
      };
      socket.onmessage = ({ data }) => {
        this.#lastWord = Date.now();
        this.#hear(data);
        if (this.#finished(signal)) done(null);
      };
      socket.onclose = ({ code }) => done(code);
    });
  }

  #hear(data) {
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      return; // not of this protocol
    }
    if (typeof message?.type === 'string') this.#apply(message);
  }

  async #checkQuiet(ticket, drop) {
    if (Date.now() - this.#lastWord < QUIET_MS) return;
    this.#lastWord = Date.now();
    try {
      await this.#readStatus(ticket);
    } catch {
      drop(null);
    }
  }

  async #poll(signal, forMs) {
    const until = Date.now() + forMs;
    while (!this.#finished(signal) && Date.now() < until) {
      this.#apply({ type: 'connection', connection: 'polling' });
      await this.#pause(this.#pollAfter * 1000 * (0.9 + 0.2 * Math.random()), signal);
      await this.#resume(signal);
    }
  }

  /** Waits after a failure that may pass, saying which; as long as the server asked, where it did. */
  async #wait(error, attempt, signal) {
    if (error instanceof Unreachable) this.#apply({ type: 'connection', connection: 'lost' });
    else if (error instanceof Problem) this.#apply({ type: 'refused', problem: error, final: false });
    else throw error;
    const asked = error.retryAfter == null ? 0 : error.retryAfter * 1000;
    await this.#pause(asked + backoff(asked ? 1 : attempt), signal);
  }

  /** Sleeps; cut short by stop() and by the network coming back. */
  async #pause(ms, signal) {
    if (signal.aborted) return;
    await new Promise((resolve) => {
      const timer = setTimeout(wake, ms);
      function wake() {
        clearTimeout(timer);
        signal.removeEventListener('abort', wake);
        globalThis.removeEventListener?.('online', wake);
        resolve();
      }
      signal.addEventListener('abort', wake);
      globalThis.addEventListener?.('online', wake);
    });
  }

  #finished(signal) {
    return signal.aborted || this.state.phase === 'ended' || this.state.phase === 'refused';
  }

  #forget(ticket) {
    // Another tab may have replaced it already.
    if (this.#kept.get('ticket') === ticket) for (const name of ['ticket', 'pass', 'goTo', 'farthest']) this.#kept.set(name, null);
    setPassCookie(null, 0);
  }

  #resumeKept() {
    this.#apply({ type: 'resumed', farthest: Number(this.#kept.get('farthest')) || null, goTo: this.#kept.get('goTo') });
  }

  #apply(event) {
    const before = this.state;
    const after = reduce(before, event);
    if (after === before) return;
    this.state = after;
    if (after.pass && after.pass !== before.pass) this.#kept.setPass(after.pass, serverNow());
    if (after.goTo !== before.goTo) this.#kept.set('goTo', after.goTo);
    if (after.farthest !== before.farthest) this.#kept.set('farthest', after.farthest);
    if (after.phase === 'ended' && before.phase !== 'ended') setPassCookie(null, 0);
    this.dispatchEvent(new Event('change'));
  }

  #watchWindow() {
    const { window, document } = globalThis;
    if (!window?.addEventListener) return;
    window.addEventListener('offline', () => {
      if (!this.#running) return;
      this.#apply({ type: 'connection', connection: 'lost' });
      this.#socket?.drop();
    });
    // Another tab took a new place: this one goes on with it.
    window.addEventListener('storage', ({ key, newValue, oldValue }) => {
      if (key !== this.#kept.key('ticket') || !newValue || newValue === oldValue) return;
      this.#apply({ type: 'joining' });
      this.start();
    });
    document.addEventListener('visibilitychange', () => {
      const ticket = this.#kept.get('ticket');
      const asleep = Date.now() - this.#lastWord > 30_000;
      if (document.visibilityState === 'visible' && this.#socket && ticket && asleep) {
        this.#readStatus(ticket).catch(() => this.#socket?.drop());
      }
    });
  }
}

/** Milliseconds before the next connect, by the close code and the failures in a row. */
export function reconnectDelay(code, failures, random = Math.random) {
  if (code === 1012) return 200 + 2300 * random(); // restarting: at once, but not all together
  if (code === 1013 || code === 1008) return 5000 + 5000 * random(); // overloaded, or at odds with us
  return backoff(failures, { random });
}

function withLock(name, work) {
  return globalThis.navigator?.locks ? navigator.locks.request(name, work) : work();
}
