// The operator's dashboard: rooms, their live figures, and the few levers there are.

import { Problem, backoff, call, list, sleep } from './api.js';
import { byId, make, show, write } from './dom.js';
import { change, fields, formValues } from './policy-form.js';
import { grouped, problemWords } from './words.js';

const TOKEN = 'turnline:admin-token';
const COMMANDS = { open: 'Open', pause: 'Pause', resume: 'Resume', close: 'Close' };
const FIGURES = [
  ['waiting', 'Waiting'],
  ['active', 'Inside'],
  ['capacity', 'Capacity'],
  ['admitted_per_minute', 'Admitted a minute'],
  ['issued', 'Numbers given'],
  ['called', 'Called'],
  ['departed', 'Left'],
];
const POLL_MS = 2000;
const ROOMS_MS = 10_000;

const cards = new Map();
let token = sessionStorage.getItem(TOKEN);

byId('token-form').addEventListener('submit', (event) => {
  event.preventDefault();
  token = byId('token').value.trim();
  byId('token').value = '';
  sessionStorage.setItem(TOKEN, token);
  open();
});
byId('sign-out').addEventListener('click', () => signOut(''));
setInterval(() => token && !document.hidden && readRooms(), ROOMS_MS);
open();

function open() {
  show(byId('sign-in'), !token);
  show(byId('sign-out'), Boolean(token));
  if (token) readRooms();
}

function signOut(why) {
  token = null;
  sessionStorage.removeItem(TOKEN);
  for (const card of cards.values()) card.stop();
  cards.clear();
  byId('rooms').replaceChildren();
  tell(byId('banner'), why);
  open();
}

async function readRooms() {
  try {
    const rooms = await list('/v1/admin/rooms', { token });
    tell(byId('banner'), rooms.length === 0 ? 'There is no room yet.' : '');
    for (const item of rooms) {
      if (!cards.has(item.room)) {
        const card = new RoomCard(item);
        cards.set(item.room, card);
        byId('rooms').append(card.element);
      }
      cards.get(item.room).update(item);
    }
  } catch (error) {
    if (error.status === 401 || error.status === 403) signOut('This token is not accepted.');
    else tell(byId('banner'), error instanceof Problem ? problemWords(error) : 'The server cannot be reached. Trying again…');
  }
}

class RoomCard {
  #room;
  #policy;
  #figures;
  #stopped = false;

  constructor({ room, policy }) {
    this.#room = room;
    this.#policy = policy;
    this.element = byId('room-template').content.firstElementChild.cloneNode(true);
    write(this.#part('.name'), room);
    this.element.dataset.room = room;
    this.#figures = FIGURES.map(([name, label]) => {
      const value = make('dd', { 'data-figure': name }, '–');
      this.#part('.facts').append(make('div', {}, make('dt', {}, label), value));
      return [name, value];
    });
    for (const [verb, label] of Object.entries(COMMANDS)) {
      const press = () => this.#command(verb);
      this.#part('.commands').append(make('button', { type: 'button', class: 'button small', 'data-verb': verb, onclick: press }, label));
    }
    this.#part('.commands').append(make('a', { class: 'button small quiet', href: `/rooms/${encodeURIComponent(room)}` }, 'Waiting page'));
    this.#part('.notice-form').addEventListener('submit', (event) => this.#setNotice(event));
    this.#part('.policy').addEventListener('submit', (event) => this.#setPolicy(event));
    this.#part('.policy').append(...fields(policy), make('button', { class: 'button primary', type: 'submit' }, 'Save policy'));
    this.#watch();
  }

  /** Shows the figures that `stats` has, and keeps the others. */
  update(stats) {
    if (stats.state) {
      write(this.#part('.state'), stats.state);
      this.#part('.state').dataset.state = stats.state;
    }
    if (stats.policy) {
      this.#policy = stats.policy;
      stats = { capacity: stats.policy.capacity, ...stats };
    }
    for (const [name, element] of this.#figures) {
      if (stats[name] != null) write(element, typeof stats[name] === 'number' ? grouped(stats[name]) : stats[name]);
    }
    if ('issued' in stats) this.#part('.notice-form input').placeholder = stats.notice || 'none';
  }

  stop() {
    this.#stopped = true;
  }

  #part(selector) {
    return this.element.querySelector(selector);
  }

  get #path() {
    return `/v1/admin/rooms/${encodeURIComponent(this.#room)}`;
  }

  /** Live figures over the channel; while there is none, by asking. */
  async #watch() {
    for (let attempt = 0; !this.#stopped; attempt += 1) {
      const heard = await this.#listen();
      if (heard) attempt = 0;
      const until = Date.now() + Math.max(POLL_MS, backoff(attempt, { first: 2000, most: 60_000 }));
      while (!this.#stopped && Date.now() < until) {
        if (!document.hidden) await this.#poll();
        await sleep(POLL_MS);
      }
    }
  }

  #listen() {
    return new Promise((resolve) => {
      const url = new URL(`${this.#path}/channel`, location.href);
      url.protocol = url.protocol.replace('http', 'ws');
      // A browser's WebSocket carries no Authorization header: the token travels as a subprotocol.
      const socket = new WebSocket(url, ['turnline.v1', `admin.${base64url(token)}`]);
      let heard = false;
      socket.onmessage = ({ data }) => {
        if (this.#stopped) return socket.close();
        heard = true;
        this.update(JSON.parse(data));
      };
      socket.onclose = () => resolve(heard);
    });
  }

  async #poll() {
    try {
      this.update(await call(`${this.#path}/stats`, { token }));
    } catch {
      // The list of rooms, read now and then, says what is wrong.
    }
  }

  async #command(verb) {
    if (verb === 'close' && !confirm(`Close ${this.#room}? Everybody waiting loses the place.`)) return;
    await this.#do(() => call(`${this.#path}/${verb}`, { method: 'POST', token }), `${COMMANDS[verb]}: done.`);
    await this.#poll();
  }

  async #setNotice(event) {
    event.preventDefault();
    const input = event.target.elements.text;
    const body = { text: input.value.trim() };
    const done = body.text ? 'The notice is shown.' : 'The notice is gone.';
    if (await this.#do(() => call(`${this.#path}/notice`, { method: 'POST', token, body }), done)) input.value = '';
    await this.#poll();
  }

  async #setPolicy(event) {
    event.preventDefault();
    const body = change(this.#policy, formValues(event.target));
    if (await this.#do(() => call(this.#path, { method: 'PUT', token, body }), 'The policy is saved.')) await readRooms();
  }

  async #do(action, done) {
    try {
      await action();
      this.#outcome('good', done);
      return true;
    } catch (error) {
      // An operator is helped by the server's own words.
      this.#outcome('bad', error instanceof Problem ? (error.detail ?? problemWords(error)) : 'The server could not be reached.');
      return false;
    }
  }

  #outcome(kind, text) {
    this.#part('.outcome').className = `banner outcome ${kind}`;
    tell(this.#part('.outcome'), text);
  }
}

function tell(element, text) {
  write(element, text);
  show(element, Boolean(text));
}

function base64url(text) {
  const bytes = new TextEncoder().encode(text);
  return btoa(String.fromCharCode(...bytes)).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}
