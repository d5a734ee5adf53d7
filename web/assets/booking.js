// One visit to the shop: choose a seat, pay, done. Every step is kept before it is sent, so that a
// reload or a lost answer repeats the same call under the same key instead of making a second one.

import { Problem, Unreachable, backoff, call, list, randomKey, serverNow, sleep } from './api.js';
import { Kept, passClaims, setPassCookie } from './kept.js';
import { findPerformance } from './onward.js';
import { problemWords } from './words.js';

const OVER = new Set(['pass_released', 'pass_expired', 'wrong_room']);

/**
 * Emits `change`; `state`:
 * `step`: loading | lost_room | no_pass | choose | pay | done | over; `order`: the seat held or bought here;
 * `busy`: null or the step under way; `message`: { kind, text }; `online`: whether the last call got through.
 */
export class Booking extends EventTarget {
  #kept = null;
  #pass = null;

  constructor(performance, room) {
    super();
    this.performance = performance;
    this.state = {
      step: 'loading',
      room,
      title: null,
      startsAt: null,
      endsAt: null, // ms, when the pass ends
      overBecause: null,
      seats: [],
      order: null,
      balance: null,
      payments: [],
      chargesOff: false,
      busy: null,
      message: null,
      online: true,
    };
  }

  /** Reads everything anew from the server, and finishes what a reload interrupted. */
  start() {
    return this.#guarded(() => this.#start());
  }

  /** Holds `seat`; the seat held before is given back once the new one is sure. */
  async chooseSeat(seat) {
    await this.#busy('seat', async () => {
      const before = this.state.order;
      if (before?.seat_id === seat.seat_id) return;
      const order = { sub: this.#sub(), seat_id: seat.seat_id, label: seat.label, hold_key: randomKey(), before };
      await this.#hold(order);
    });
  }

  async giveBack() {
    await this.#busy('seat', async () => {
      await this.#drop(this.state.order);
      this.#keepOrder(null);
      this.#set({ step: 'choose' });
      await this.refreshSeats();
    });
  }

  /** Adds `amountMinor` to the balance. */
  async charge(amountMinor) {
    await this.#busy('charge', async () => {
      const pending = this.#kept.getJson('charge') ?? { key: randomKey(), amountMinor, sub: this.#sub() };
      this.#kept.setJson('charge', pending);
      await this.#sendCharge(pending);
    });
  }

  /** Pays the held seat. However often it is pressed, the key makes it one payment. */
  async pay() {
    await this.#busy('pay', () => this.#sendPayment());
  }

  /** Asks for a payment to be undone, and follows it to its end. */
  async cancel(paymentId) {
    await this.#busy('cancel', async () => {
      const path = `/v1/payments/${encodeURIComponent(paymentId)}`;
      const key = randomKey();
      await this.#ask(() => call(`${path}/cancel`, { method: 'POST', token: this.#pass, key }));
      this.#tell('info', 'The payment is being cancelled…');
      let payment = null;
      for (let attempt = 0; attempt < 25 && !ended(payment); attempt += 1) {
        await sleep(backoff(attempt, { first: 400, most: 3000 }));
        payment = await this.#ask(() => call(path, { token: this.#pass }));
        await this.refreshMoney();
      }
      if (payment?.state === 'cancelled') {
        if (this.state.order?.payment_id === paymentId) this.#keepOrder({ ...this.state.order, state: 'cancelled' });
        this.#tell('good', 'The payment is cancelled: the money is back and the seat is free.');
      } else if (!ended(payment)) {
        this.#tell('info', 'The cancellation is on its way. It goes on by itself; look again in a moment.');
      } else {
        this.#tell('bad', 'The payment could not be cancelled.');
      }
      await this.refreshSeats();
    });
  }

  /** More time for this visit, when the visitor says "I am still here". */
  async renew() {
    await this.#busy('renew', async () => {
      const before = this.state.endsAt;
      const path = `/v1/rooms/${encodeURIComponent(this.state.room)}/tickets/me/renew`;
      this.#takePass(await this.#ask(() => call(path, { method: 'POST', token: this.#kept.get('ticket') })));
      const longer = this.state.endsAt > before;
      this.#tell(longer ? 'good' : 'info', longer ? 'You have more time now.' : 'This visit cannot be extended any further.');
      if (this.state.order?.state === 'held') await this.#readReservation();
    });
  }

  /** The clock ran out. */
  expire() {
    if (this.state.step !== 'choose' && this.state.step !== 'pay') return;
    this.#set({ step: 'over', overBecause: 'expired' });
    setPassCookie(null, 0);
  }

  /** The clock of the held seat ran out: the server says whether it really is over. */
  async checkHold() {
    if (this.state.order?.reservation_id) await this.#busy('seat', () => this.#readReservation());
    await this.refreshSeats();
  }

  canRenew() {
    return Boolean(this.#kept?.get('ticket'));
  }

  async refreshSeats() {
    const path = `/v1/performances/${encodeURIComponent(this.performance)}/seats`;
    await this.#guarded(async () => this.#set({ seats: await this.#ask(() => list(path)) }));
  }

  async refreshMoney() {
    const token = this.#pass;
    const [balance, payments] = await Promise.all([
      this.#ask(() => call('/v1/balance', { token })),
      this.#ask(() => list('/v1/payments', { token })),
    ]);
    this.#set({ balance, payments });
  }

  async #start() {
    const found = await this.#ask(() => findPerformance(this.performance, this.state.room));
    const room = found?.concert.room ?? this.state.room;
    if (!room) return this.#set({ step: 'lost_room' });
    this.#kept = new Kept(room);
    this.#set({ room, title: found?.concert.title ?? null, startsAt: found?.date.starts_at ?? null });
    const ended = await this.#refreshPass();
    this.#pass = this.#kept.livePass(serverNow());
    const order = this.#keptOrder();
    await this.refreshSeats();
    if (!this.#pass) {
      const bought = order?.payment_id ? order : null;
      return this.#set({ order: bought, step: bought ? 'done' : 'no_pass' });
    }
    this.#set({ endsAt: passClaims(this.#pass).exp * 1000, order: order?.sub === this.#sub() ? order : null });
    await this.refreshMoney();
    if (ended && !this.state.order) return this.#set({ step: 'over', overBecause: ended });
    await this.#settle();
  }

  /** Reads how the kept order stands, and repeats what was sent but not answered. */
  async #settle() {
    const charge = this.#kept.getJson('charge');
    if (charge?.sub === this.#sub()) await this.#busy('charge', () => this.#sendCharge(charge));
    const { order } = this.state;
    if (!order) return this.#set({ step: 'choose' });
    if (!order.reservation_id) return this.#busy('seat', () => this.#hold(order));
    if (order.payment_id) return this.#settlePaid(order);
    await this.#readReservation();
    if (this.state.order?.pay_key) {
      this.#set({ step: 'pay' });
      await this.#busy('pay', () => this.#sendPayment());
    }
  }

  #settlePaid(order) {
    const payment = this.state.payments.find((one) => one.payment_id === order.payment_id);
    if (payment && payment.state !== 'completed') this.#keepOrder({ ...order, state: payment.state });
    this.#set({ step: 'done' });
  }

  async #readReservation() {
    const { order } = this.state;
    const path = `/v1/reservations/${encodeURIComponent(order.reservation_id)}`;
    try {
      const { state, hold_expires_at, amount_minor } = await this.#ask(() => call(path, { token: this.#pass }));
      this.#keepOrder({ ...order, state, hold_expires_at, amount_minor: amount_minor ?? order.amount_minor });
    } catch (error) {
      if (!(error instanceof Problem) || error.status !== 404) throw error;
      this.#keepOrder({ ...order, state: 'expired' });
    }
    const { state } = this.state.order;
    // A payment under way is settled under its key, whatever became of the seat.
    if (state === 'held' || order.pay_key) return this.#set({ step: 'pay' });
    if (state === 'confirmed') return this.#set({ step: 'done' });
    this.#keepOrder(null);
    this.#set({ step: 'choose' });
    this.#tell('info', 'The time for your seat ran out, so it is free again. Nothing was charged.');
  }

  async #hold(order) {
    this.#keepOrder(order);
    const { before, ...mine } = order;
    const body = { performance_id: this.performance, seat_id: order.seat_id };
    try {
      const answer = await this.#ask(() =>
        call('/v1/reservations', { method: 'POST', token: this.#pass, body, key: order.hold_key }),
      );
      this.#keepOrder({ ...mine, ...answer });
      this.#set({ step: 'pay' });
    } catch (error) {
      this.#keepOrder(before ?? null);
      this.#set({ step: before ? 'pay' : 'choose' });
      await this.refreshSeats();
      throw error;
    }
    if (before?.reservation_id) await this.#drop(before);
    await this.refreshSeats();
  }

  async #drop(order) {
    const path = `/v1/reservations/${encodeURIComponent(order.reservation_id)}`;
    try {
      await this.#ask(() => call(path, { method: 'DELETE', token: this.#pass }));
    } catch (error) {
      // Gone already is what was wanted.
      if (!(error instanceof Problem) || (error.status !== 404 && error.status !== 409)) throw error;
    }
  }

  async #sendCharge({ key, amountMinor }) {
    try {
      const body = { amount_minor: amountMinor };
      await this.#ask(() => call('/v1/balance/charges', { method: 'POST', token: this.#pass, body, key }));
    } catch (error) {
      if (error.code === 'charges_disabled') this.#set({ chargesOff: true });
      throw error;
    } finally {
      this.#kept.setJson('charge', null);
    }
    await this.refreshMoney();
  }

  async #sendPayment() {
    const order = { ...this.state.order, pay_key: this.state.order.pay_key ?? randomKey() };
    this.#keepOrder(order);
    const body = { reservation_id: order.reservation_id };
    try {
      const { payment_id } = await this.#ask(() =>
        call('/v1/payments', { method: 'POST', token: this.#pass, body, key: order.pay_key }),
      );
      this.#keepOrder({ ...order, payment_id, state: 'confirmed' });
    } catch (error) {
      // Refused for good: the next try is a new payment. The same key would repeat the refusal.
      this.#keepOrder(error.code === 'hold_expired' ? null : { ...order, pay_key: undefined });
      if (error.code === 'hold_expired') this.#set({ step: 'choose' });
      await Promise.all([this.refreshSeats(), this.refreshMoney()]);
      throw error;
    }
    setPassCookie(null, 0); // the slot is the next visitor's now
    this.#set({ step: 'done', message: null });
    await Promise.all([this.refreshSeats(), this.refreshMoney()]);
  }

  /** The ticket knows best whether the visit goes on, and has the newest pass. Answers why it ended, or null. */
  async #refreshPass() {
    const ticket = this.#kept.get('ticket');
    if (!ticket) return null;
    const path = `/v1/rooms/${encodeURIComponent(this.state.room)}/tickets/me`;
    try {
      const answer = await this.#ask(() => call(path, { token: ticket }));
      this.#takePass(answer);
      if (answer.state !== 'ended') return null;
      return answer.reason === 'expired' ? 'expired' : 'pass_released';
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      return null; // refused: the kept pass decides
    }
  }

  #takePass({ pass }) {
    if (!pass) return;
    this.#pass = pass;
    this.#kept.setPass(pass, serverNow());
    this.#set({ endsAt: passClaims(pass)?.exp * 1000 });
  }

  #sub() {
    return passClaims(this.#pass)?.sub;
  }

  #keptOrder() {
    return this.#kept.getJson(`order:${this.performance}`);
  }

  #keepOrder(order) {
    this.#kept.setJson(`order:${this.performance}`, order);
    this.#set({ order });
  }

  /** One step at a time: a second press while one is under way does nothing. */
  async #busy(step, work) {
    if (this.state.busy) return;
    this.#set({ busy: step, message: null });
    await this.#guarded(work);
    this.#set({ busy: null });
  }

  /** What the server refuses is said, and never thrown at the page. */
  async #guarded(work) {
    try {
      await work();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (OVER.has(error.code)) this.#set({ step: 'over', overBecause: error.code });
      else if (error.status === 401) this.#set({ step: 'over', overBecause: 'pass_expired' });
      else if (this.state.step === 'loading' && error.status === 404) this.#set({ step: 'lost_room' });
      else this.#tell('bad', problemWords(error));
    }
  }

  /** Repeats until the server answers: safe, since every write carries the key it was kept under. */
  async #ask(request) {
    for (let attempt = 0; ; attempt += 1) {
      try {
        const answer = await request();
        this.#set({ online: true });
        return answer;
      } catch (error) {
        const passing = error instanceof Problem && error.passing && attempt < 6;
        if (!(error instanceof Unreachable) && !passing) {
          if (error instanceof Problem) this.#set({ online: true });
          throw error;
        }
        this.#set({ online: false });
        await sleep(Math.max((error.retryAfter ?? 0) * 1000, backoff(attempt, { most: 5000 })));
      }
    }
  }

  #tell(kind, text) {
    this.#set({ message: { kind, text } });
  }

  #set(change) {
    Object.assign(this.state, change);
    this.dispatchEvent(new Event('change'));
  }
}

function ended(payment) {
  return payment && !['completed', 'cancelling', 'pending', 'cancel_requested'].includes(payment.state);
}
