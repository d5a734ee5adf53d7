// The booking page: whatever happens to it, a seat is held once and paid once.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';

import { Server, charge, chooseSeat, getLetIn, kept, launch, profile, receipt, shows } from './harness.mjs';

const browser = await launch(after);

async function inside(t) {
  const server = await Server.start(t);
  const page = await profile(t, browser);
  await getLetIn(page, server);
  return { server, page };
}

/** Payments and balance as the server has them for this browser's pass. */
async function books(server, page) {
  const token = await kept(page, 'pass');
  return {
    payments: (await server.call('GET', '/v1/payments', { token })).body.items,
    balance: (await server.call('GET', '/v1/balance', { token })).body.amount_minor,
  };
}

test('who has no pass is sent to the line', async (t) => {
  const server = await Server.start(t);
  const page = await profile(t, browser);
  const { performance } = await server.demo();
  await page.goto(`${server.url}/book/${performance}`);
  await shows(page, '#stop-title', /wait your turn/);
  assert.equal(await page.locator('#stop-link').getAttribute('href'), '/rooms/demo');
});

test('a performance that does not exist is said to be none', async (t) => {
  const server = await Server.start(t);
  const page = await profile(t, browser);
  await page.goto(`${server.url}/book/nothing`);
  await shows(page, '#stop-title', /no such performance/);
});

test('two clicks on Pay are one payment', async (t) => {
  const { server, page } = await inside(t);
  await chooseSeat(page);
  await charge(page);
  let sent = 0;
  page.on('request', (request) => {
    if (request.method() === 'POST' && new URL(request.url()).pathname === '/v1/payments') sent += 1;
  });
  await page.locator('#pay').dblclick();
  const { payment } = await receipt(page);
  assert.equal(sent, 1);
  const { payments, balance } = await books(server, page);
  assert.deepEqual(payments.map(({ payment_id }) => payment_id), [payment]);
  assert.equal(balance, 0);
});

test('a reload at every step goes on where it was', async (t) => {
  const { page } = await inside(t);
  await page.reload();
  await page.locator('#main[data-step=choose]').waitFor();
  const seat = await chooseSeat(page);
  await page.reload();
  await shows(page, '#held-seat', seat);
  await page.locator(`.seat[data-state=mine][aria-label*="${seat}"]`).waitFor();
  await charge(page);
  await page.reload();
  await shows(page, '#held-seat', seat);
  await page.locator('#pay').click();
  const before = await receipt(page);
  await page.reload();
  assert.deepEqual(await receipt(page), before);
  await shows(page, '#done-seat', seat);
});

test('a lost answer to Pay is asked for again, and it is one payment', async (t) => {
  const { server, page } = await inside(t);
  await chooseSeat(page);
  await charge(page);
  let swallowed = 0;
  await page.route('**/v1/payments', async (route) => {
    if (swallowed > 0 || route.request().method() !== 'POST') return route.continue();
    swallowed += 1;
    await route.fetch(); // the server has taken the money; the answer is lost
    await route.abort();
  });
  await page.locator('#pay').click();
  const { payment } = await receipt(page);
  assert.equal(swallowed, 1);
  const { payments, balance } = await books(server, page);
  assert.deepEqual(payments.map(({ payment_id }) => payment_id), [payment]);
  assert.equal(balance, 0);
});

test('a reload before the answer to Pay finishes the same payment', async (t) => {
  const { server, page } = await inside(t);
  await chooseSeat(page);
  await charge(page);
  const swallowed = new Promise((resolve) => {
    page.route('**/v1/payments', async (route) => {
      if (route.request().method() !== 'POST') return route.continue();
      await page.unroute('**/v1/payments');
      await route.fetch();
      resolve(); // never answered: the page is reloaded meanwhile
    });
  });
  await page.locator('#pay').click();
  await swallowed;
  await page.reload();
  const { payment } = await receipt(page);
  const { payments } = await books(server, page);
  assert.deepEqual(payments.map(({ payment_id }) => payment_id), [payment]);
});

test('a server killed while a seat is held: said, and the seat is there when it is back', async (t) => {
  const { server, page } = await inside(t);
  const seat = await chooseSeat(page);
  await charge(page);
  await server.kill();
  await page.locator('#pay').click();
  await shows(page, '#offline', /Connection lost/);
  await server.restart();
  await receipt(page);
  await shows(page, '#done-seat', seat);
  const { payments } = await books(server, page);
  assert.equal(payments.length, 1);
});

test('a balance that is too small is said, and the seat stays', async (t) => {
  const { page } = await inside(t);
  const seat = await chooseSeat(page);
  await page.locator('#pay').click();
  await shows(page, '#message', /does not cover/);
  await shows(page, '#held-seat', seat);
  await charge(page);
  await page.locator('#pay').click();
  await receipt(page);
});

test('another seat takes the place of the first, and a seat can be given back', async (t) => {
  const { server, page } = await inside(t);
  const first = await chooseSeat(page);
  await page.locator('#seats .seat[data-state=free]').last().click();
  await page.locator('#held-seat').filter({ hasNotText: new RegExp(`^${first}$`) }).waitFor();
  await page.locator(`.seat[data-state=free][aria-label*="${first},"]`).waitFor();
  assert.equal((await server.seats()).filter(({ state }) => state === 'held').length, 1);
  await page.locator('#give-back').click();
  await page.locator('#main[data-step=choose]').waitFor();
  assert.equal((await server.seats()).filter(({ state }) => state === 'held').length, 0);
});

test('a payment is cancelled: the money is back and the seat is free', async (t) => {
  const { server, page } = await inside(t);
  const seat = await chooseSeat(page);
  await charge(page);
  await page.locator('#pay').click();
  await receipt(page);
  const row = page.locator('#payments li');
  await row.getByRole('button', { name: 'Cancel' }).click();
  await page.locator('#cancel-dialog').getByRole('button', { name: 'Cancel the payment' }).click();
  await shows(page, '#message', /is cancelled/);
  await page.locator('#payments li[data-state=cancelled]').waitFor();
  await shows(page, '#done-title', /was cancelled/);
  const { balance } = await books(server, page);
  assert.ok(balance > 0);
  assert.equal((await server.seats()).find(({ label }) => label === seat).state, 'free');
});

test('the keyboard alone chooses a seat', async (t) => {
  const { page } = await inside(t);
  await page.locator('.seat[tabindex="0"]').focus();
  await page.keyboard.press('ArrowRight');
  const label = await page.evaluate(() => document.activeElement.getAttribute('aria-label'));
  await page.keyboard.press('Enter');
  await page.locator('#main[data-step=pay]').waitFor();
  assert.ok(label.startsWith(`Seat ${await page.locator('#held-seat').textContent()},`), label);
});
