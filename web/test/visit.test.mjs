// What is kept, where one goes, how seats are laid out, how a policy becomes a form and back.

import assert from 'node:assert/strict';
import { webcrypto } from 'node:crypto';
import { test } from 'node:test';

import { backoff, randomKey } from '../assets/api.js';
import { Kept, passClaims } from '../assets/kept.js';
import { bookingHref, target } from '../assets/onward.js';
import { change, lanesText, parseLanes } from '../assets/policy-form.js';
import { rows } from '../assets/seats.js';
import { reconnectDelay } from '../assets/turnline.js';

globalThis.crypto ??= webcrypto; // a browser has it, node 18 has not

const HERE = 'https://queue.example/rooms/demo';
const pass = (claims) => `e30.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.c2ln`;

test('a pass is read, and what is none is not', () => {
  assert.equal(passClaims(pass({ exp: 100, sub: 'v:Zoë' })).sub, 'v:Zoë');
  for (const wrong of ['', 'a.b.c', 'abc', pass({ sub: 'no end' }), null, undefined]) assert.equal(passClaims(wrong), null);
});

test('a room keeps its own things, and only a pass whose time runs counts', () => {
  const map = new Map();
  const storage = { getItem: (key) => map.get(key) ?? null, setItem: (key, value) => map.set(key, value), removeItem: (key) => map.delete(key) };
  const [one, other] = [new Kept('one', storage), new Kept('other', storage)];
  one.setPass(pass({ exp: 100 }), 0);
  assert.equal(one.livePass(99_000), one.get('pass'));
  assert.equal(one.livePass(100_000), null);
  assert.equal(other.livePass(0), null);
  one.setJson('order', { seat: 1 });
  assert.deepEqual(one.getJson('order'), { seat: 1 });
  assert.equal(other.getJson('order'), null);
  one.set('order', '{torn');
  assert.equal(one.getJson('order'), null);
  one.set('pass', null);
  assert.equal(one.get('pass'), null);
});

test('an address is followed when it is one of the web', () => {
  assert.equal(target('/book/1', 'p', HERE), 'https://queue.example/book/1');
  assert.equal(target('https://queue.example/x', 'p', HERE), 'https://queue.example/x');
  for (const wrong of ['javascript:alert(1)', 'data:text/html,x', 'http://']) assert.equal(target(wrong, 'p', HERE), null);
});

test('a shop elsewhere gets the pass in the fragment, which no server sees', () => {
  assert.equal(target('https://shop.example/in?a=1', 'p.p.p', HERE), 'https://shop.example/in?a=1#turnline_pass=p.p.p');
  assert.equal(target('https://shop.example/#top', 'p', HERE), 'https://shop.example/#top&turnline_pass=p');
});

test('names in addresses are escaped', () => {
  assert.equal(bookingHref('a/b', 'r&r'), '/book/a%2Fb?room=r%26r');
});

test('seats stand in the rows that their labels name', () => {
  const seats = (labels) => labels.map((label) => ({ seat_id: label, label }));
  const shape = (labels) => rows(seats(labels)).map(({ row, seats: own }) => [row, own.map(({ number }) => number).join(' ')]);
  assert.deepEqual(shape(['A10', 'A2', 'B1', 'B2']), [['A', '2 10'], ['B', '1 2']]);
  assert.deepEqual(shape(['10-1', '10-2', '9-1', '9-2']), [['9', '1 2'], ['10', '1 2']]);
  assert.deepEqual(shape(['1', '2', '3']), [['', '1 2 3']]);
  assert.deepEqual(shape(['Box', 'Lodge', 'A1']), [['', 'Box Lodge A1']]);
  assert.deepEqual(shape([]), []);
});

test('a policy survives its form, and the visitor key is sent only when typed', () => {
  const before = { capacity: 5, active_seconds: 300, prequeue: 'fifo', lanes: [{ name: 'default', weight: 1 }], opens_at: null, of_tomorrow: 7 };
  const values = {
    capacity: '9', admit_per_minute: '', active_seconds: '300', max_session_seconds: '900', claim_seconds: '60', grace_seconds: '60',
    max_waiting: '100', opens_at: '', closes_at: ' ', go_to: '/book/1', prequeue: 'lottery', lanes: 'default:1, members:3', visitor_key: '',
  };
  assert.deepEqual(change(before, values), {
    capacity: 9, active_seconds: 300, max_session_seconds: 900, claim_seconds: 60, grace_seconds: 60, max_waiting: 100,
    go_to: '/book/1', prequeue: 'lottery', lanes: [{ name: 'default', weight: 1 }, { name: 'members', weight: 3 }], of_tomorrow: 7,
  });
  assert.equal(change(before, { ...values, visitor_key: 'k' }).visitor_key, 'k');
  assert.equal(lanesText(parseLanes('a:1,b:2')), 'a:1, b:2');
  assert.equal(parseLanes(' '), null);
});

test('keys are long and never the same', () => {
  const keys = new Set(Array.from({ length: 100 }, randomKey));
  assert.equal(keys.size, 100);
  for (const key of keys) assert.match(key, /^[\w-]{24}$/);
});

test('a crowd comes back spread out, later after each failure, and soon enough for its grace', () => {
  const [least, most] = [() => 0, () => 1];
  assert.ok(backoff(0, { random: least }) >= 250);
  assert.ok(backoff(3, { random: most }) > backoff(0, { random: most }));
  assert.ok(backoff(99, { random: most }) <= 15_000);
  assert.ok(reconnectDelay(1012, 0, most) <= 2500);
  assert.ok(reconnectDelay(1013, 0, least) >= 5000);
  assert.ok(reconnectDelay(1006, 1, most) <= 1000);
});
