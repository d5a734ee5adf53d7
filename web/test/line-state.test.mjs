// The visitor's state: every message of the contract, and the orders in which they may arrive.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { initialState, progress, reduce } from '../assets/line-state.js';

const POSITION = { type: 'position', position: 12, ahead: 11, waiting: 40, eta_seconds: 300, eta_low_seconds: 200, eta_high_seconds: 420 };
const ADMITTED = { type: 'admitted', pass: 'p.p.p', expires_at: '2026-11-21T10:00:00Z', go_to: '/book/1' };

function after(...events) {
  return events.reduce(reduce, initialState('demo'));
}

test('a position brings the visitor into the line', () => {
  const state = after(POSITION);
  assert.equal(state.phase, 'waiting');
  assert.equal(state.position, 12);
  assert.equal(state.ahead, 11);
  assert.equal(state.waiting, 40);
  assert.deepEqual(state.eta, { seconds: 300, low: 200, high: 420 });
});

test('the answer to joining says the same as a position, and the number', () => {
  const state = after({ type: 'status', state: 'waiting', number: 57, position: 3, ahead: 2, waiting: 9, eta_seconds: 60 });
  assert.equal(state.number, 57);
  assert.equal(state.position, 3);
  assert.deepEqual(state.eta, { seconds: 60, low: 60, high: 60 });
});

test('in prequeue there is no position, and the opening starts the line', () => {
  const early = after({ type: 'prequeue', opens_at: '2026-11-21T10:00:00Z', waiting: 5 });
  assert.equal(early.phase, 'prequeue');
  assert.equal(early.position, null);
  assert.equal(early.opensAt, '2026-11-21T10:00:00Z');
  const open = reduce(early, POSITION);
  assert.equal(open.phase, 'waiting');
  assert.equal(open.position, 12);
});

test('admitted brings pass, end and address, and a late position takes nothing away', () => {
  const state = after(POSITION, ADMITTED, POSITION);
  assert.equal(state.phase, 'admitted');
  assert.equal(state.pass, 'p.p.p');
  assert.equal(state.expiresAt, '2026-11-21T10:00:00Z');
  assert.equal(state.goTo, '/book/1');
});

test('an active status without a pass admits and waits for the pass', () => {
  const state = after(POSITION, { type: 'status', state: 'active', number: 57 });
  assert.equal(state.phase, 'admitted');
  assert.equal(state.pass, null);
  assert.equal(reduce(state, ADMITTED).pass, 'p.p.p');
});

test('a renewed status keeps the address and calms the expiry', () => {
  const expiring = after(ADMITTED, { type: 'expiring', seconds: 30 });
  assert.equal(expiring.expiring, true);
  const renewed = reduce(expiring, { type: 'status', state: 'active', pass: 'q.q.q', expires_at: '2026-11-21T10:05:00Z' });
  assert.equal(renewed.expiring, false);
  assert.equal(renewed.pass, 'q.q.q');
  assert.equal(renewed.goTo, '/book/1');
});

test('expiring says nothing to who still waits', () => {
  assert.equal(after(POSITION, { type: 'expiring', seconds: 30 }).expiring, false);
});

for (const reason of ['paid', 'expired', 'no_show', 'left', 'revoked', 'room_closed']) {
  test(`ended (${reason}) is final, whether pushed or asked`, () => {
    for (const end of [{ type: 'ended', reason }, { type: 'status', state: 'ended', number: 57, reason }]) {
      const state = after(POSITION, end, POSITION, ADMITTED);
      assert.equal(state.phase, 'ended');
      assert.equal(state.reason, reason);
    }
  });
}

test('room news change state and notice, and a notice can go', () => {
  const paused = after(POSITION, { type: 'room', state: 'paused', notice: 'Back at ten' });
  assert.equal(paused.roomState, 'paused');
  assert.equal(paused.notice, 'Back at ten');
  assert.equal(paused.position, 12);
  const resumed = reduce(paused, { type: 'room', state: 'open' });
  assert.equal(resumed.roomState, 'open');
  assert.equal(resumed.notice, null);
});

test('losing the connection keeps everything known', () => {
  const state = after(POSITION, { type: 'connection', connection: 'lost' });
  assert.equal(state.connection, 'lost');
  assert.equal(state.phase, 'waiting');
  assert.equal(state.position, 12);
});

test('a refusal that may pass keeps the phase, a final one ends it, an answer clears it', () => {
  const problem = { code: 'queue_full', status: 503 };
  const asking = after({ type: 'refused', problem, final: false });
  assert.equal(asking.phase, 'joining');
  assert.equal(asking.problem, problem);
  assert.equal(reduce(asking, POSITION).problem, null);
  assert.equal(after({ type: 'refused', problem, final: true }).phase, 'refused');
});

test('joining anew forgets the old place and keeps what is of the room', () => {
  const state = after({ type: 'room', state: 'open', notice: 'Hello' }, POSITION, ADMITTED, { type: 'joining', anew: true });
  assert.equal(state.phase, 'joining');
  assert.equal(state.joinedAnew, true);
  assert.equal(state.pass, null);
  assert.equal(state.farthest, null);
  assert.equal(state.notice, 'Hello');
});

test('an unknown message changes nothing', () => {
  const state = after(POSITION);
  assert.equal(reduce(state, { type: 'weather', sunny: true }), state);
});

test('progress goes from the farthest place seen to admission, and never back', () => {
  const at = (ahead) => ({ ...POSITION, position: ahead + 1, ahead });
  assert.equal(progress(after(at(9))), 0);
  assert.ok(progress(after(at(9), at(4))) > 0.4);
  assert.ok(progress(after(at(9), at(0))) < 1);
  assert.equal(progress(after(at(9), ADMITTED)), 1);
  // A reload: what was kept counts, though this page has only seen 4 ahead.
  assert.equal(progress(after({ type: 'resumed', farthest: 9 }, at(4))), progress(after(at(9), at(4))));
  assert.equal(progress(initialState('demo')), 0);
});
