// What figures and codes are called when speaking to a visitor.

const MINUTE = 60;
const HOUR = 3600;

/** A time to wait, as people say it: rounded more, the longer it is. */
export function duration(seconds) {
  if (seconds < MINUTE) return 'less than a minute';
  const minutes = Math.round(seconds / MINUTE);
  if (minutes < 60) return plural(minutes, 'minute');
  const quarters = Math.round(seconds / (HOUR / 4));
  if (quarters <= 12) {
    const hours = Math.floor(quarters / 4);
    const rest = ['', '¼', '½', '¾'][quarters % 4];
    return `${hours}${rest} ${hours === 1 && rest === '' ? 'hour' : 'hours'}`;
  }
  return plural(Math.round(seconds / HOUR), 'hour');
}

/** The range in which the turn probably comes; `eta` is `{ seconds, low, high }`. */
export function etaRange(eta) {
  if (!eta || eta.low == null || eta.high == null) return 'not known yet';
  const low = Math.max(0, Math.min(eta.low, eta.high));
  const high = Math.max(eta.low, eta.high);
  if (high < 15) return 'a few seconds';
  if (high < MINUTE) return 'less than a minute';
  const [from, to] = [duration(low), duration(high)];
  if (low < MINUTE) return `up to ${to}`;
  if (from === to) return `about ${to}`;
  const [fromCount, fromUnit] = split(from);
  const [toCount, toUnit] = split(to);
  const sameUnit = fromUnit.replace(/s$/, '') === toUnit.replace(/s$/, '');
  return sameUnit ? `${fromCount} to ${toCount} ${toUnit}` : `${from} to ${to}`;
}

/** Time left, counting down: `4:05`, `1:02:09`, `3 days 04:00:00`. Seconds below zero read as zero. */
export function clock(seconds) {
  const left = Math.max(0, Math.ceil(seconds));
  const two = (value) => String(value).padStart(2, '0');
  const [days, hours, minutes] = [Math.floor(left / 86400), Math.floor(left / HOUR) % 24, Math.floor(left / 60) % 60];
  if (days > 0) return `${plural(days, 'day')} ${two(hours)}:${two(minutes)}:${two(left % 60)}`;
  if (hours > 0) return `${hours}:${two(minutes)}:${two(left % 60)}`;
  return `${minutes}:${two(left % 60)}`;
}

/** Integer minor units as money. */
export function money(amountMinor, currency) {
  try {
    return new Intl.NumberFormat('en', { style: 'currency', currency }).format(amountMinor / minorPerUnit(currency));
  } catch {
    return `${amountMinor} ${currency ?? ''}`.trim(); // not an ISO 4217 code
  }
}

/** `1st`, `2nd`, `1,011th`. */
export function ordinal(count) {
  const suffixes = { one: 'st', two: 'nd', few: 'rd', other: 'th' };
  return grouped(count) + suffixes[new Intl.PluralRules('en', { type: 'ordinal' }).select(count)];
}

export function plural(count, word) {
  return `${grouped(count)} ${word}${count === 1 ? '' : 's'}`;
}

export function grouped(count) {
  return new Intl.NumberFormat('en').format(count);
}

function split(text) {
  const at = text.indexOf(' ');
  return [text.slice(0, at), text.slice(at + 1)];
}

const ENDED = {
  paid: ['You have paid', 'Your visit is complete. Thank you!'],
  expired: ['Your time is over', 'The time for your visit ran out, so the slot went to the next visitor.'],
  no_show: ['Your turn has passed', 'You were called but this page could not be reached in time, so the next visitor was let in.'],
  left: ['You have left the line', 'Your place was given up as you asked, or because this page was closed for too long.'],
  revoked: ['Your place was withdrawn', 'The organiser has ended this ticket. It cannot be used to join again.'],
  room_closed: ['The room has closed', 'The organiser has closed this room, so nobody is waiting any more.'],
};

/** `[title, text]` of why a ticket ended. */
export function endedWords(reason) {
  return ENDED[reason] ?? ['Your place has ended', 'You are no longer in this line.'];
}

/** Whether who ended for this reason may join anew. */
export function mayJoinAgain(reason) {
  return reason !== 'revoked';
}

const PROBLEMS = {
  unknown_room: 'There is no room of this name. Please check the address.',
  unavailable: 'The service cannot answer right now.',
  not_found: 'This does not exist (any more).',
  room_closed: 'This room is closed. Nobody can join right now.',
  visitor_token_required: 'This room lets in only visitors who come from the shop. Please start from the shop’s own page.',
  visitor_token_invalid: 'The shop’s link is no longer valid. Please start again from the shop’s own page.',
  visitor_token_refused: 'This room does not take a shop’s link. Please open it without one.',
  lane_forbidden: 'Your link does not open this lane.',
  identity_conflict: 'This browser holds a place of another visitor. Please leave that one first.',
  queue_full: 'The line is full at the moment.',
  rate_limited: 'Very many people are arriving right now.',
  too_many_requests: 'Very many people are arriving right now.',
  revoked: 'The organiser has ended this ticket. It cannot be used to join again.',
  seat_taken: 'Somebody else was faster with this seat. Please choose another.',
  hold_limit: 'You already hold as many seats as one visit allows. Give one back first.',
  hold_expired: 'The time for this seat ran out before it was paid. Nothing was charged; please choose again.',
  insufficient_balance: 'Your balance does not cover this seat. The seat stays yours while its time runs.',
  charges_disabled: 'Balances cannot be charged here. Please ask the organiser.',
  wrong_room: 'Your pass belongs to another room.',
  pass_released: 'Your visit is over, so nothing new can be bought with it. Join the line again to buy more.',
  pass_expired: 'The time of your pass is over. Join the line again to go on.',
  idempotency_conflict: 'This step was already taken with other details. Please reload the page.',
  idempotency_key_reused: 'This step was already taken with other details. Please reload the page.',
  forbidden: 'This is not allowed.',
  unauthorized: 'This is not, or no longer, valid here.',
};

const BY_STATUS = {
  401: 'This is not, or no longer, valid here.',
  403: 'This is not allowed.',
  404: 'This does not exist (any more).',
  409: 'This is no longer possible: something changed in the meantime.',
  413: 'That was too much text.',
  429: 'Very many people are here right now.',
  503: 'The service cannot answer right now.',
};

/** A refusal (`{ code, status, detail }`) in human words; never empty. */
export function problemWords(problem) {
  if (!problem) return '';
  return PROBLEMS[problem.code] ?? BY_STATUS[problem.status] ?? problem.detail ?? 'Something went wrong. Please try again.';
}

/** How many minor units make one of `currency`: 100 for EUR, 1 for JPY. */
export function minorPerUnit(currency) {
  try {
    return 10 ** new Intl.NumberFormat('en', { style: 'currency', currency }).resolvedOptions().maximumFractionDigits;
  } catch {
    return 100;
  }
}

/** A moment (RFC 3339) as a date and time of day where the visitor is. */
export function when(moment) {
  const date = new Date(moment);
  if (moment == null || Number.isNaN(date.getTime())) return String(moment ?? '');
  return new Intl.DateTimeFormat('en-GB', { dateStyle: 'full', timeStyle: 'short' }).format(date);
}
