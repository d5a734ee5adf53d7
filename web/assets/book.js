// The booking page: seat, payment, done. What happens is in booking.js; here it is shown.

import { serverNow } from './api.js';
import { Booking } from './booking.js';
import { byId, confirmIn, make, pathSegment, show, write } from './dom.js';
import { roomHref } from './onward.js';
import { SeatMap } from './seats.js';
import { clock, grouped, minorPerUnit, money, when } from './words.js';

const SHORT_SECONDS = 60; // from here on the visitor is asked whether to go on
const SEATS_EVERY_MS = 5000;

const visit = new Booking(pathSegment('book'), new URLSearchParams(location.search).get('room'));
const map = new SeatMap(byId('seats'), (seat) => visit.chooseSeat(seat));
let shownStep = null;
let suggested = null;
let checkedHold = null; // the end of hold that was already asked about

visit.addEventListener('change', render);
byId('pay').addEventListener('click', () => visit.pay());
byId('give-back').addEventListener('click', () => visit.giveBack());
byId('still-here').addEventListener('click', () => visit.renew());
byId('charge-form').addEventListener('submit', (event) => {
  event.preventDefault();
  const perUnit = minorPerUnit(visit.state.balance?.currency);
  visit.charge(Math.round(byId('charge-amount').valueAsNumber * perUnit));
});
setInterval(renderClocks, 1000);
setInterval(() => {
  const choosing = visit.state.step === 'choose' || visit.state.step === 'pay';
  if (choosing && visit.state.online && !visit.state.busy && !document.hidden) visit.refreshSeats();
}, SEATS_EVERY_MS);
// Asking is how a lost connection is noticed, and how its return is.
window.addEventListener('offline', () => visit.refreshSeats());
visit.start();

function render() {
  const { state } = visit;
  byId('main').dataset.step = state.step;
  write(byId('title'), state.title ?? 'Booking');
  write(byId('date'), state.startsAt ? when(state.startsAt) : '');
  document.title = `${stepTitle(state)} · ${state.title ?? 'Booking'}`;

  const shopping = state.step === 'choose' || state.step === 'pay';
  show(byId('booking'), shopping);
  show(byId('done'), state.step === 'done');
  show(byId('stop'), ['no_pass', 'over', 'lost_room'].includes(state.step));
  show(byId('history'), state.payments.length > 0);
  byId('connection').dataset.connection = state.online ? 'live' : 'lost';
  write(byId('connection'), state.online ? 'Connected' : 'Connection lost');
  show(byId('offline'), !state.online);
  show(byId('message'), Boolean(state.message));
  byId('message').className = `banner ${state.message?.kind ?? ''}`;
  write(byId('message'), state.message?.text ?? '');

  renderSeats(state);
  renderOrder(state);
  renderMoney(state);
  renderDone(state);
  renderStop(state);
  renderHistory(state);
  renderClocks();
  if (state.step !== shownStep) enterStep(state.step);
}

function enterStep(step) {
  const first = shownStep === null || shownStep === 'loading';
  shownStep = step;
  if (first) return;
  if (step === 'done') byId('done-title').focus();
  else if (step === 'pay') byId('pay').focus({ preventScroll: true });
}

function stepTitle(state) {
  const titles = { choose: 'Choose your seat', pay: 'Pay', done: 'Done', over: 'Your visit is over', no_pass: 'Join the line' };
  return titles[state.step] ?? 'Booking';
}

function renderSeats(state) {
  map.update(state.seats, state.order?.reservation_id ? state.order.seat_id : null);
  const free = state.seats.filter((seat) => seat.state === 'free').length;
  write(byId('free'), `${grouped(free)} of ${grouped(state.seats.length)} free`);
  byId('seats').setAttribute('aria-busy', String(state.busy === 'seat'));
}

function renderOrder(state) {
  const held = state.step === 'pay' && Boolean(state.order?.reservation_id);
  show(byId('order-none'), !held);
  show(byId('order-held'), held);
  show(byId('order-actions'), held);
  if (!held) return;
  const { order, busy } = state;
  write(byId('held-seat'), order.label);
  write(byId('held-price'), money(order.amount_minor, order.currency));
  // aria-disabled keeps the focus where it is; a second press finds the first one busy.
  byId('pay').setAttribute('aria-disabled', String(Boolean(busy)));
  byId('give-back').disabled = Boolean(busy);
  write(byId('pay'), busy === 'pay' ? 'Paying…' : `Pay ${money(order.amount_minor, order.currency)}`);
}

function renderMoney(state) {
  const { balance, order } = state;
  write(byId('balance'), balance ? money(balance.amount_minor, balance.currency) : '–');
  show(byId('charge-form'), Boolean(balance) && !state.chargesOff);
  show(byId('charges-off'), state.chargesOff);
  byId('charge').disabled = Boolean(state.busy);
  if (!balance) return;
  const perUnit = minorPerUnit(balance.currency);
  const missing = Math.max(0, (order?.amount_minor ?? 0) - balance.amount_minor);
  const suggestion = String((missing || 20 * perUnit) / perUnit);
  const input = byId('charge-amount');
  input.step = input.min = String(1 / perUnit);
  // What the visitor typed stays.
  if (input.value === '' || input.value === suggested) input.value = suggested = suggestion;
}

function renderDone(state) {
  if (state.step !== 'done') return;
  const { order } = state;
  const undone = order.state === 'cancelled';
  write(byId('done-tick'), undone ? '↺' : '✓');
  write(byId('done-title'), undone ? 'The payment was cancelled' : 'The seat is yours');
  write(
    byId('done-text'),
    undone ? 'The money is back on your balance, and the seat is free again.' : 'Thank you. Your slot in the shop has gone to the next visitor in line.',
  );
  write(byId('done-seat'), order.label);
  write(byId('done-amount'), money(order.amount_minor, order.currency));
  write(byId('reservation-id'), order.reservation_id);
  write(byId('payment-id'), order.payment_id ?? '–');
  byId('buy-more').href = roomHref(state.room);
}

function renderStop(state) {
  const words = {
    lost_room: ['There is no such performance', 'Please check the address, or start from the list of concerts.', 'All concerts', '/'],
    no_pass: ['You need to wait your turn first', 'This browser has no valid pass for this room. Join the line; you are let in when it is your turn.', 'Join the line'],
    expired: ['Your time is over', 'The time for your visit ran out and the slot went to the next visitor. Nothing more was charged.', 'Join the line again'],
    pass_expired: ['Your pass is no longer valid', 'Its time is over, or the server no longer knows it.', 'Join the line again'],
    pass_released: ['Your visit is over', 'Nothing new can be bought with this pass.', 'Join the line again'],
    wrong_room: ['This pass is for another room', 'Join the line of this room to buy here.', 'Join the line'],
  };
  const found = words[state.step === 'over' ? state.overBecause : state.step];
  if (!found) return;
  write(byId('stop-title'), found[0]);
  write(byId('stop-text'), found[1]);
  write(byId('stop-link'), found[2]);
  byId('stop-link').href = found[3] ?? roomHref(state.room);
}

function renderHistory(state) {
  const words = { completed: 'paid', cancelled: 'cancelled, money back', cancelling: 'being cancelled', failed: 'failed', pending: 'under way' };
  const shown = JSON.stringify([state.payments, Boolean(state.busy)]);
  if (byId('payments').dataset.shown === shown) return;
  byId('payments').dataset.shown = shown;
  byId('payments').replaceChildren(
    ...state.payments.map((payment) => {
      const amount = payment.amount_minor == null ? '' : money(payment.amount_minor, payment.currency ?? state.balance?.currency);
      const text = make('div', {}, make('strong', {}, [amount, words[payment.state] ?? payment.state].filter(Boolean).join(' · ')));
      text.append(make('small', { class: 'id' }, payment.payment_id));
      const row = make('li', { 'data-payment': payment.payment_id, 'data-state': payment.state }, text);
      if (payment.state === 'completed') {
        const press = () => cancel(payment.payment_id);
        row.append(make('button', { type: 'button', class: 'button small', disabled: Boolean(state.busy), onclick: press }, 'Cancel'));
      }
      return row;
    }),
  );
}

async function cancel(paymentId) {
  if (await confirmIn(byId('cancel-dialog'))) visit.cancel(paymentId);
}

function renderClocks() {
  const { state } = visit;
  const shopping = state.step === 'choose' || state.step === 'pay';
  const left = state.endsAt == null ? null : (state.endsAt - serverNow()) / 1000;
  show(byId('clock'), shopping && left != null);
  if (!shopping || left == null) return show(byId('short'), false);
  write(byId('remaining'), clock(left));
  byId('clock').classList.toggle('short', left < SHORT_SECONDS);
  show(byId('short'), left < SHORT_SECONDS && visit.canRenew());
  if (state.step === 'pay' && state.order?.hold_expires_at) {
    const held = (Date.parse(state.order.hold_expires_at) - serverNow()) / 1000;
    write(byId('held-remaining'), clock(held));
    if (held <= 0 && !state.busy && checkedHold !== state.order.hold_expires_at) {
      checkedHold = state.order.hold_expires_at;
      visit.checkHold();
    }
  }
  // A payment under way is the server's to judge.
  if (left <= 0 && state.busy !== 'pay') visit.expire();
}
