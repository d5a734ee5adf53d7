// The whole way of two visitors through a room for one: wait, be let in, buy.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';

import { Server, arriveAtBooking, charge, chooseSeat, getLetIn, kept, launch, positionsHeard, profile, receipt, shows, waitInLine } from './harness.mjs';

const browser = await launch(after);

test('the second watches the position fall, the first pays, the second is let in, reloads, keeps the pass, buys', async (t) => {
  const server = await Server.start(t);
  const first = await profile(t, browser);
  const second = await profile(t, browser);

  await getLetIn(first, server);
  const between = await server.visitor();
  const heard = positionsHeard(second);
  await waitInLine(second, server);
  await shows(second, '#position', '2');
  await shows(second, '#ahead', '1');
  assert.match(await second.title(), /^2nd in line/);

  await between.leave();
  await shows(second, '#position', '1');
  await shows(second, '#ahead', '0');
  assert.match(await second.title(), /^1st in line/);
  assert.deepEqual([...heard].sort((a, b) => b - a), heard, 'a position grew');

  const firstSeat = await chooseSeat(first);
  await charge(first);
  await first.locator('#pay').click();
  const firstReceipt = await receipt(first);

  await arriveAtBooking(second);
  const pass = await kept(second, 'pass');
  assert.ok(pass);
  const authorized = await server.call('GET', '/v1/authorize?room=demo', { token: pass });
  assert.equal(authorized.status, 204);
  assert.match(await second.evaluate(() => document.cookie), /turnline_pass=/);

  await second.reload();
  await second.locator('#main[data-step=choose]').waitFor();
  const claims = (jwt) => JSON.parse(Buffer.from(jwt.split('.')[1], 'base64url').toString());
  assert.equal(claims(await kept(second, 'pass')).sub, claims(pass).sub);

  const secondSeat = await chooseSeat(second);
  assert.notEqual(secondSeat, firstSeat);
  await charge(second);
  await second.locator('#pay').click();
  const secondReceipt = await receipt(second);
  assert.notEqual(secondReceipt.payment, firstReceipt.payment);

  const sold = (await server.seats()).filter(({ state }) => state === 'sold').map(({ label }) => label);
  assert.deepEqual(sold.sort(), [firstSeat, secondSeat].sort());
});

test('the list of concerts leads into the line', async (t) => {
  const server = await Server.start(t);
  const page = await profile(t, browser);
  await server.occupant();
  await page.goto(server.url);
  const { title } = await server.demo();
  await page.getByRole('link', { name: title }).click();
  await page.waitForURL('**/rooms/demo');
  await shows(page, '#position', '1');
  await shows(page, '#room-name', title);
});

test('the operator pauses, puts up a notice, and lets go on', async (t) => {
  const server = await Server.start(t);
  const [operator, visitor] = [await profile(t, browser), await profile(t, browser)];
  const inside = await server.occupant();
  await waitInLine(visitor, server);

  await operator.goto(`${server.url}/admin`);
  await operator.locator('#token').fill('wrong');
  await operator.keyboard.press('Enter');
  await shows(operator, '#banner', /not accepted/);
  await operator.locator('#token').fill(server.adminToken);
  await operator.keyboard.press('Enter');
  const card = operator.locator('[data-room=demo]');
  await card.locator('[data-figure=waiting]').filter({ hasText: /^1$/ }).waitFor();

  await card.locator('[data-verb=pause]').click();
  await card.locator('.state[data-state=paused]').waitFor();
  await card.locator('[name=text]').fill('Back in a minute');
  await operator.keyboard.press('Enter');
  await shows(visitor, '#notice', 'Back in a minute');
  await shows(visitor, '#lead', /stands still/);

  await inside.leave();
  await card.locator('[data-figure=active]').filter({ hasText: /^0$/ }).waitFor();
  await shows(visitor, '#position', '1');
  await card.locator('[data-verb=resume]').click();
  await arriveAtBooking(visitor);
});
