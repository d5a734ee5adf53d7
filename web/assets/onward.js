// Where a visitor goes once admitted.

import { list } from './api.js';

/**
 * The address to move on to, or null when `goTo` is none a browser should follow.
 * A shop on another origin sees neither our storage nor our cookie, so the pass travels in the
 * fragment, which no server and no referrer gets to see.
 */
export function target(goTo, pass, here) {
  let url;
  try {
    url = new URL(goTo, here);
  } catch {
    return null;
  }
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return null;
  if (url.origin !== new URL(here).origin && pass) {
    url.hash = [url.hash.slice(1), `turnline_pass=${pass}`].filter(Boolean).join('&');
  }
  return url.href;
}

/** The performances a room leads to: `[{ title, starts_at, free, href }]`, soonest first. */
export async function performancesOf(room) {
  const concerts = (await list('/v1/concerts')).filter((concert) => concert.room === room);
  const found = [];
  for (const concert of concerts) {
    for (const date of await list(`/v1/concerts/${encodeURIComponent(concert.id)}/dates`)) {
      found.push({ ...date, title: concert.title, href: bookingHref(date.performance_id, room) });
    }
  }
  return found.sort((a, b) => String(a.starts_at).localeCompare(String(b.starts_at)));
}

/** `{ concert, date }` of a performance, or null; `room` narrows the search. */
export async function findPerformance(performanceId, room) {
  const concerts = await list('/v1/concerts');
  for (const concert of concerts.filter((one) => !room || one.room === room)) {
    const dates = await list(`/v1/concerts/${encodeURIComponent(concert.id)}/dates`);
    const date = dates.find((one) => String(one.performance_id) === performanceId);
    if (date) return { concert, date };
  }
  return null;
}

export function bookingHref(performanceId, room) {
  return `/book/${encodeURIComponent(performanceId)}?room=${encodeURIComponent(room)}`;
}

export function roomHref(room) {
  return `/rooms/${encodeURIComponent(room)}`;
}
