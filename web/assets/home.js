// The landing page: every concert, with the way into its line.

import { backoff, call, list, sleep } from './api.js';
import { byId, make, show, write } from './dom.js';
import { roomHref } from './onward.js';
import { grouped, problemWords, when } from './words.js';

const STATES = {
  open: 'The room is open',
  prequeue: 'Opens soon',
  scheduled: 'Opens soon',
  paused: 'The line stands still for the moment',
  closed: 'Closed',
};

fill();

async function fill() {
  const concerts = await ask(() => list('/v1/concerts'));
  byId('concerts').removeAttribute('aria-busy');
  if (concerts.length === 0) {
    write(byId('banner'), 'No concert is on sale at the moment.');
    show(byId('banner'), true);
  }
  byId('concerts').replaceChildren(
    ...concerts.map((concert) => {
      const facts = make('small', {}, '');
      describe(concert, facts);
      return make('li', {}, make('a', { href: roomHref(concert.room) }, make('strong', {}, concert.title), facts));
    }),
  );
}

/** Date and state of one concert; a line stays short when something cannot be read. */
async function describe(concert, facts) {
  const [dates, room] = await Promise.all([
    list(`/v1/concerts/${encodeURIComponent(concert.id)}/dates`).catch(() => []),
    call(`/v1/rooms/${encodeURIComponent(concert.room)}`).catch(() => null),
  ]);
  const first = dates.map((date) => date.starts_at).sort()[0];
  const parts = [];
  if (first) parts.push(when(first) + (dates.length > 1 ? ` and ${grouped(dates.length - 1)} more` : ''));
  if (room) parts.push(STATES[room.state] ?? room.state);
  if (room?.waiting > 0) parts.push(`${grouped(room.waiting)} waiting`);
  write(facts, parts.join(' · '));
}

async function ask(request) {
  for (let attempt = 0; ; attempt += 1) {
    try {
      const answer = await request();
      show(byId('banner'), false);
      return answer;
    } catch (error) {
      write(byId('banner'), error.code ? problemWords(error) : 'The server cannot be reached. Trying again…');
      show(byId('banner'), true);
      await sleep(backoff(attempt));
    }
  }
}
