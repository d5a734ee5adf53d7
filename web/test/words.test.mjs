// How figures and codes are worded for a visitor.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { clock, duration, endedWords, etaRange, mayJoinAgain, minorPerUnit, money, ordinal, problemWords } from '../assets/words.js';

const range = (low, high) => etaRange({ seconds: low, low, high });

test('durations are rounded more, the longer they are', () => {
  const cases = [
    [0, 'less than a minute'],
    [59, 'less than a minute'],
    [60, '1 minute'],
    [89, '1 minute'],
    [91, '2 minutes'],
    [3540, '59 minutes'],
    [3600, '1 hour'],
    [5400, '1½ hours'],
    [9000, '2½ hours'],
    [18000, '5 hours'],
  ];
  for (const [seconds, words] of cases) assert.equal(duration(seconds), words, `${seconds} s`);
});

test('the estimate is a range', () => {
  assert.equal(range(180, 300), '3 to 5 minutes');
  assert.equal(range(60, 120), '1 to 2 minutes');
  assert.equal(range(170, 190), 'about 3 minutes');
  assert.equal(range(10, 200), 'up to 3 minutes');
  assert.equal(range(30, 50), 'less than a minute');
  assert.equal(range(0, 5), 'a few seconds');
  assert.equal(range(2700, 5400), '45 minutes to 1½ hours');
  assert.equal(range(3600, 7200), '1 to 2 hours');
});

test('a range that is upside down or missing is still worded', () => {
  assert.equal(range(300, 180), '3 to 5 minutes');
  assert.equal(etaRange(null), 'not known yet');
  assert.equal(etaRange({ seconds: null, low: null, high: null }), 'not known yet');
});

test('the clock counts down to zero and not below', () => {
  assert.equal(clock(245), '4:05');
  assert.equal(clock(0.2), '0:01');
  assert.equal(clock(-3), '0:00');
  assert.equal(clock(3729), '1:02:09');
  assert.equal(clock(3 * 86400 + 4 * 3600), '3 days 04:00:00');
  assert.equal(clock(86400), '1 day 00:00:00');
});

test('money has the minor units of its currency', () => {
  assert.equal(money(4500, 'EUR'), '€45.00');
  assert.equal(money(4500, 'JPY'), '¥4,500');
  assert.equal(money(5, 'no such'), '5 no such');
  assert.equal(minorPerUnit('EUR'), 100);
  assert.equal(minorPerUnit('JPY'), 1);
  assert.equal(minorPerUnit(undefined), 100);
});

test('ordinals', () => {
  assert.deepEqual([1, 2, 3, 4, 11, 12, 21, 1011].map(ordinal), ['1st', '2nd', '3rd', '4th', '11th', '12th', '21st', '1,011th']);
});

test('every reason has words of its own, and only the revoked may not come back', () => {
  const reasons = ['paid', 'expired', 'no_show', 'left', 'revoked', 'room_closed'];
  assert.equal(new Set(reasons.map((reason) => endedWords(reason)[0])).size, reasons.length);
  assert.deepEqual(reasons.filter((reason) => !mayJoinAgain(reason)), ['revoked']);
  assert.equal(endedWords('of tomorrow').length, 2);
});

test('every refusal has words, known or not', () => {
  assert.match(problemWords({ code: 'seat_taken', status: 409 }), /faster/);
  assert.match(problemWords({ code: 'brand_new', status: 429 }), /many people/);
  assert.equal(problemWords({ code: 'brand_new', status: 400, detail: 'say please' }), 'say please');
  assert.notEqual(problemWords({ status: 418 }), '');
  assert.equal(problemWords(null), '');
});
