// The waiting page: whatever happens to it, a visitor has one place and keeps it.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';

import { Server, arriveAtBooking, kept, launch, profile, shows, waitInLine } from './harness.mjs';

const browser = await launch(after);

/** A server whose only slot is taken, one visitor waiting, and a page waiting behind. */
async function inLine(t) {
  const server = await Server.start(t);
  const inside = await server.occupant();
  const ahead = await server.visitor();
  const page = await profile(t, browser);
  await waitInLine(page, server);
  await shows(page, '#position', '2');
  return { server, inside, ahead, page, number: await page.locator('#number').textContent() };
}

test('a reload keeps the place', async (t) => {
  const { server, page, number } = await inLine(t);
  const ticket = await kept(page, 'ticket');
  for (let reloads = 0; reloads < 3; reloads += 1) {
    await page.reload();
    await shows(page, '#number', number);
    await shows(page, '#position', '2');
  }
  assert.equal(await kept(page, 'ticket'), ticket);
  assert.equal((await server.room()).waiting, 2);
});

test('a reload before the answer to joining does not take a second place', async (t) => {
  const server = await Server.start(t);
  await server.occupant();
  const page = await profile(t, browser);
  let swallowed = 0;
  await page.route('**/v1/rooms/demo/tickets', async (route) => {
    if (swallowed > 0) return route.continue();
    swallowed += 1;
    await route.fetch(); // the server has joined the visitor; the answer is lost
    await route.abort();
  });
  await page.goto(`${server.url}/rooms/demo`);
  await shows(page, '#banner', /cannot be reached/);
  await page.reload();
  await shows(page, '#position', '1');
  assert.equal(swallowed, 1);
  assert.equal((await server.room()).waiting, 1);
  assert.equal(await kept(page, 'joinKey'), null);
});

test('a killed server is said to be lost, and the place is there when it is back', async (t) => {
  const { server, page, ahead, number } = await inLine(t);
  await server.kill();
  await shows(page, '#banner', 'Connection lost. Your place is kept; reconnecting…');
  assert.match(await page.title(), /Reconnecting/);
  await shows(page, '#number', number);
  await server.restart();
  await shows(page, '#connection', 'Live');
  await page.locator('#banner').waitFor({ state: 'hidden' });
  await shows(page, '#number', number);
  await ahead.leave();
  await shows(page, '#position', '1');
});

test('a network that goes and comes back loses nothing', async (t) => {
  const { server, page, ahead, number } = await inLine(t);
  await page.context().setOffline(true);
  await shows(page, '#banner', 'Connection lost. Your place is kept; reconnecting…');
  await ahead.leave();
  await page.context().setOffline(false);
  await shows(page, '#connection', 'Live');
  await shows(page, '#number', number);
  await shows(page, '#position', '1');
  assert.equal((await server.room()).waiting, 1);
});

test('where WebSockets do not get through, the page asks instead', async (t) => {
  const server = await Server.start(t);
  const inside = await server.occupant();
  const page = await profile(t, browser);
  await page.routeWebSocket('**/channel', (socket) => socket.close());
  await waitInLine(page, server);
  await shows(page, '#connection', 'Updating now and then');
  await inside.leave();
  await arriveAtBooking(page);
});

test('a server that knows nothing any more gives a new place and says so', async (t) => {
  const { server, page } = await inLine(t);
  await server.replace();
  await server.call('POST', '/v1/admin/rooms/demo/pause', { token: server.adminToken });
  await shows(page, '#banner', /no longer known/);
  await shows(page, '#connection', 'Live');
});

test('two tabs share one place, and leaving in one is leaving in both', async (t) => {
  const { server, page, number } = await inLine(t);
  const tab = await page.context().newPage();
  await waitInLine(tab, server);
  await shows(tab, '#number', number);
  assert.equal((await server.room()).waiting, 2);

  await tab.locator('#leave').click();
  await tab.getByRole('button', { name: 'Keep my place' }).click();
  await tab.locator('#main[data-phase=waiting]').waitFor();
  await tab.locator('#leave').click();
  await tab.locator('#leave-yes').click();
  await shows(tab, '#title', 'You have left the line');
  await shows(page, '#title', 'You have left the line');

  await page.reload();
  await shows(page, '#title', 'You have left the line');
  await page.getByRole('button', { name: 'Join the line again' }).click();
  await shows(page, '#position', '2');
  const anew = await page.locator('#number').textContent();
  assert.ok(Number(anew) > Number(number), `${anew} after ${number}`);
  await shows(tab, '#number', anew);
});

test('a phone held upright shows everything without scrolling sideways', async (t) => {
  const server = await Server.start(t);
  await server.occupant();
  const page = await profile(t, browser, { viewport: { width: 340, height: 700 }, colorScheme: 'dark', reducedMotion: 'reduce' });
  await waitInLine(page, server);
  const [content, window] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.ok(content <= window, `${content} > ${window}`);
});

test('a room that does not exist is said to be none', async (t) => {
  const server = await Server.start(t);
  const page = await profile(t, browser);
  await page.goto(`${server.url}/rooms/nowhere`);
  await shows(page, '#title', 'You cannot join right now');
  await shows(page, '#lead', /no room of this name|does not exist/);
});
