// The waiting page: shows one's own place live, and moves on when admitted.

import { list, serverNow } from './api.js';
import { byId, confirmIn, make, pathSegment, say, show, write } from './dom.js';
import { passClaims } from './kept.js';
import { performancesOf, target } from './onward.js';
import { Turnline, progress } from './turnline.js';
import { clock, endedWords, etaRange, grouped, mayJoinAgain, ordinal, plural, problemWords, when } from './words.js';

const MOVE_ON_AFTER_MS = 3000;
const SAY_EVERY_MS = 20_000; // a falling position is not read out step by step

const room = pathSegment('rooms');
const link = new URLSearchParams(location.hash.slice(1)); // a shop's link: #visitor_token=…&lane=…
const line = new Turnline({ room, lane: link.get('lane'), visitorToken: link.get('visitor_token') });

let onward = null; // { href } once admitted and known, or { choices }
let leaving = null; // timer of moving on
let plannedFor = null; // the address of the operator that `onward` was made from
let stayed = false;
let message = ''; // the outcome of a button
let shownPhase = null;
let saidAt = 0;
let name = room;

line.addEventListener('change', render);
byId('leave').addEventListener('click', leave);
byId('again').addEventListener('click', () => {
  [onward, plannedFor, stayed, message] = [null, null, false, ''];
  line.rejoin();
});
byId('still-here').addEventListener('click', renew);
byId('stay').addEventListener('click', () => {
  stayed = true;
  clearTimeout(leaving);
  render();
});
setInterval(renderClocks, 1000);
nameTheRoom();
line.start();

function render() {
  const { state } = line;
  byId('main').dataset.phase = state.phase;
  if (state.phase !== shownPhase) enterPhase(state);
  if (state.phase === 'admitted' && state.pass && (!onward || plannedFor !== state.goTo)) planOnward(state);
  write(byId('title'), title(state));
  write(byId('lead'), lead(state));
  write(byId('notice'), state.notice ?? '');
  show(byId('notice'), Boolean(state.notice));
  renderConnection(state);
  renderBanner(state);

  show(byId('line'), state.phase === 'waiting');
  show(byId('prequeue'), state.phase === 'prequeue');
  show(byId('admitted'), state.phase === 'admitted');
  show(byId('hint'), state.phase === 'waiting' || state.phase === 'prequeue');
  renderLine(state);
  renderAdmitted(state);
  renderClocks();

  show(byId('leave'), ['waiting', 'prequeue', 'admitted'].includes(state.phase));
  write(byId('leave'), state.phase === 'admitted' ? 'Give my slot back' : 'Leave the line');
  show(byId('again'), state.phase === 'refused' || (state.phase === 'ended' && mayJoinAgain(state.reason)));
  write(byId('again'), state.phase === 'refused' ? 'Try again' : 'Join the line again');
  show(byId('still-here'), state.phase === 'admitted' && (state.expiring || stayed));
  document.title = documentTitle(state);
  announce(state);
}

function enterPhase(state) {
  const first = shownPhase === null;
  shownPhase = state.phase;
  saidAt = 0;
  message = state.phase === 'admitted' ? '' : message;
  clearTimeout(leaving);
  // Who reads by ear is taken to what has changed; nobody is interrupted while typing here.
  if (!first && (state.phase === 'admitted' || state.phase === 'ended')) byId('title').focus();
}

function title(state) {
  switch (state.phase) {
    case 'joining':
      return 'Finding your place…';
    case 'prequeue':
      return 'You are early';
    case 'waiting':
      return state.position === 1 ? 'You are next' : 'You are in line';
    case 'admitted':
      return 'It is your turn';
    case 'ended':
      return endedWords(state.reason)[0];
    default:
      return 'You cannot join right now';
  }
}

function lead(state) {
  switch (state.phase) {
    case 'prequeue':
      return 'The room is not open yet. You are registered; places in line are given when it opens.';
    case 'waiting':
      if (state.roomState === 'paused') return 'The line stands still for the moment. Your place is kept.';
      return 'This page moves on by itself when it is your turn.';
    case 'admitted':
      if (onward?.href) return stayed ? 'Go on when you are ready; your time is running.' : 'We are taking you to the shop.';
      if (onward?.choices?.length) return 'Choose where to go.';
      return onward ? 'Go back to the shop; this browser carries your pass.' : '';
    case 'ended':
      return endedWords(state.reason)[1];
    case 'refused':
      return problemWords(state.problem);
    default:
      return '';
  }
}

function renderConnection(state) {
  const words = {
    connecting: 'Connecting…',
    live: 'Live',
    polling: 'Updating now and then',
    lost: 'Connection lost',
  };
  const over = state.phase === 'ended' || state.phase === 'refused';
  show(byId('connection'), !over);
  byId('connection').dataset.connection = state.connection;
  write(byId('connection'), words[state.connection]);
}

function renderBanner(state) {
  let text = message;
  if (state.connection === 'lost' && state.phase !== 'ended' && state.phase !== 'refused') {
    text = state.phase === 'joining' ? 'The server cannot be reached. Trying again…' : 'Connection lost. Your place is kept; reconnecting…';
  } else if (state.phase === 'joining' && state.problem) {
    text = `${problemWords(state.problem)} We keep asking for you; please stay on this page.`;
  } else if (!text && state.joinedAnew && state.phase === 'waiting') {
    text = 'The place this browser had kept is no longer known to the server, so you have been given a new one.';
  } else if (!text && state.expiring) {
    text = 'Your time is nearly over. Are you still here?';
  }
  write(byId('banner'), text);
  show(byId('banner'), Boolean(text));
}

function renderLine(state) {
  if (state.phase === 'prequeue') {
    write(byId('prequeue-number'), state.number == null ? '–' : grouped(state.number));
    write(byId('prequeue-waiting'), state.waiting == null ? '–' : grouped(state.waiting));
    write(byId('opens-at'), state.opensAt ? when(state.opensAt) : 'soon');
  }
  if (state.phase !== 'waiting') return;
  write(byId('position'), state.position == null ? '–' : grouped(state.position));
  write(byId('number'), state.number == null ? '–' : grouped(state.number));
  write(byId('ahead'), state.ahead == null ? '–' : grouped(state.ahead));
  write(byId('waiting'), state.waiting == null ? '–' : grouped(state.waiting));
  write(byId('eta'), state.roomState === 'paused' ? 'not known while paused' : etaRange(state.eta));
  byId('progress').value = progress(state);
}

function renderAdmitted(state) {
  if (state.phase !== 'admitted') {
    show(byId('go'), false);
    show(byId('stay'), false);
    return;
  }
  write(byId('pass'), state.pass ?? '');
  show(byId('go'), Boolean(onward?.href));
  if (onward?.href) byId('go').href = onward.href;
  show(byId('stay'), Boolean(onward?.href) && !stayed);
  show(byId('choices'), Boolean(onward?.choices?.length));
}

function renderClocks() {
  const { state } = line;
  if (state.phase === 'prequeue') {
    const left = state.opensAt ? (Date.parse(state.opensAt) - serverNow()) / 1000 : NaN;
    write(byId('countdown'), Number.isNaN(left) ? 'soon' : left > 0 ? clock(left) : 'now');
  } else if (state.phase === 'admitted') {
    const end = state.expiresAt ? Date.parse(state.expiresAt) : (passClaims(state.pass ?? '')?.exp ?? NaN) * 1000;
    write(byId('remaining'), Number.isNaN(end) ? '–' : clock((end - serverNow()) / 1000));
  }
}

function documentTitle(state) {
  if (state.connection === 'lost' && state.phase === 'waiting') return `Reconnecting… · ${name}`;
  if (state.phase === 'waiting' && state.position != null) return `${ordinal(state.position)} in line · ${name}`;
  return `${title(state)} · ${name}`;
}

/** For screen readers: phases and connection at once, figures now and then. */
function announce(state) {
  if (state.connection === 'lost') {
    say(byId('say'), byId('banner').textContent);
    saidAt = 0;
    return;
  }
  if (Date.now() - saidAt < SAY_EVERY_MS) return;
  saidAt = Date.now();
  if (state.phase !== 'waiting' || state.position == null) return say(byId('say'), `${title(state)}. ${lead(state)}`);
  say(byId('say'), `You are ${ordinal(state.position)} in line, ${plural(state.ahead, 'visitor')} ahead. Your turn in ${etaRange(state.eta)}.`);
}

/** Where to go: the operator's address, else the only performance of this room, else a choice. */
async function planOnward({ goTo, pass }) {
  // The address may arrive after the pass: then the plan is made anew.
  plannedFor = goTo;
  clearTimeout(leaving);
  const href = goTo && target(goTo, pass, location.href);
  onward = href ? { href } : {};
  if (!href) {
    const found = await performancesOf(room).catch(() => []);
    if (plannedFor !== goTo) return;
    onward = found.length === 1 ? { href: found[0].href } : { choices: found };
    byId('choices').replaceChildren(
      ...found.map(({ href: to, title: of, starts_at }) => make('li', {}, make('a', { href: to }, `${of}, ${when(starts_at)}`))),
    );
    render();
  }
  if (onward.href && !stayed) {
    // replace: the back button must not lead into a room that sends forward again
    leaving = setTimeout(() => location.replace(onward.href), MOVE_ON_AFTER_MS);
  }
}

async function leave() {
  const admitted = line.state.phase === 'admitted';
  clearTimeout(leaving);
  if (admitted) stayed = true;
  write(byId('leave-title'), admitted ? 'Give your slot back?' : 'Leave the line?');
  if (!(await confirmIn(byId('leave-dialog')))) return render();
  await attempt(() => line.leave(), 'The server could not be reached, so you still have your place. Please try again.');
}

async function renew() {
  await attempt(async () => {
    message = (await line.renew()) ? 'You have more time now.' : 'The time of this visit cannot be extended any further.';
  }, 'The server could not be reached. Please try again.');
}

async function attempt(action, unreachable) {
  try {
    message = '';
    await action();
  } catch (error) {
    message = error.code ? problemWords(error) : unreachable;
  }
  render();
}

async function nameTheRoom() {
  const concerts = await list('/v1/concerts').catch(() => []);
  name = concerts.find((concert) => concert.room === room)?.title ?? room;
  write(byId('room-name'), name);
  render();
}
