// A real server, real browsers, and the few questions the tests ask of both.
// TURNLINE_BIN is the binary (target/debug/turnline if unset), CHROMIUM the browser (/usr/bin/chromium if unset).

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { openSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { chromium } from 'playwright-core';

const BIN = path.resolve(process.env.TURNLINE_BIN ?? fileURLToPath(new URL('../../target/debug/turnline', import.meta.url)));
const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
const READY_MS = 60_000;
const WAIT_MS = 20_000;
const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** `turnline up --demo` in a folder and on a port of its own; ends with the test. */
export class Server {
  #child = null;
  #folder;
  #port;
  #env = { TURNLINE_ADMIN_TOKEN: randomBytes(24).toString('hex'), TURNLINE_SECRET: randomBytes(24).toString('hex') };
  #data = 0;

  /** Starts one for the test `t`, with a room of capacity 1 and 20 seats. */
  static async start(t) {
    const server = new Server();
    server.#folder = await mkdtemp(path.join(tmpdir(), 'turnline-browser-'));
    t.after(async () => {
      await server.kill();
      await rm(server.#folder, { recursive: true, force: true });
    });
    server.#port = await freePort();
    await server.restart();
    return server;
  }

  get url() {
    return `http://127.0.0.1:${this.#port}`;
  }

  get adminToken() {
    return this.#env.TURNLINE_ADMIN_TOKEN;
  }

  /** The same port and data again. */
  async restart() {
    const data = path.join(this.#folder, `data-${this.#data}`);
    await mkdir(data, { recursive: true });
    const log = openSync(this.#log, 'a');
    const args = ['up', '--listen', `127.0.0.1:${this.#port}`, '--data-dir', data, '--demo', '--demo-capacity', '1', '--demo-seats', '20'];
    this.#child = spawn(BIN, args, { env: { ...foreignEnv(), ...this.#env }, stdio: ['ignore', log, log] });
    const exited = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.exited = exited;
    await this.#ready();
  }

  /** `kill -9`, and waits until the process is gone. */
  async kill() {
    if (!this.#child) return;
    this.#child.kill('SIGKILL');
    await this.#child.exited;
    this.#child = null;
  }

  /** The same address, with nothing remembered: other data, other secrets. */
  async replace() {
    await this.kill();
    this.#data += 1;
    this.#env.TURNLINE_SECRET = randomBytes(24).toString('hex');
    await this.restart();
  }

  /** Calls the API; answers `{ status, body }`. */
  async call(method, where, { token, body, key } = {}) {
    const headers = {};
    if (token) headers.authorization = `Bearer ${token}`;
    if (key) headers['idempotency-key'] = key;
    if (body) headers['content-type'] = 'application/json';
    const response = await fetch(this.url + where, { method, headers, body: body && JSON.stringify(body) });
    const text = await response.text();
    return { status: response.status, body: text ? JSON.parse(text) : null };
  }

  async room() {
    return (await this.call('GET', '/v1/rooms/demo')).body;
  }

  async seats() {
    const { performance } = await this.demo();
    return (await this.call('GET', `/v1/performances/${performance}/seats`)).body.items;
  }

  /** Ids of what `--demo` made. */
  async demo() {
    const concerts = (await this.call('GET', '/v1/concerts')).body.items;
    const concert = concerts.find(({ room }) => room === 'demo');
    const dates = (await this.call('GET', `/v1/concerts/${concert.id}/dates`)).body.items;
    return { title: concert.title, performance: dates[0].performance_id };
  }

  /** A visitor without a browser: joins; `leave()` leaves. */
  async visitor() {
    const { status, body } = await this.call('POST', '/v1/rooms/demo/tickets', { body: {} });
    assert.equal(status, 201);
    const token = body.ticket;
    return {
      ...body,
      token,
      status: async () => (await this.call('GET', '/v1/rooms/demo/tickets/me', { token })).body,
      leave: async () => assert.equal((await this.call('DELETE', '/v1/rooms/demo/tickets/me', { token })).status, 204),
    };
  }

  /** A visitor without a browser who holds the only slot. */
  async occupant() {
    const visitor = await this.visitor();
    const deadline = Date.now() + WAIT_MS;
    while ((await visitor.status()).state !== 'active') {
      assert.ok(Date.now() < deadline, 'nobody was admitted to an empty room');
      await pause(100);
    }
    return visitor;
  }

  get #log() {
    return path.join(this.#folder, 'server.log');
  }

  async #ready() {
    const deadline = Date.now() + READY_MS;
    let ended = false;
    this.#child.exited.then(() => (ended = true));
    while (!ended && Date.now() < deadline) {
      if (await fetch(`${this.url}/readyz`).then(({ ok }) => ok, () => false)) return;
      await pause(50); // the interval of a poll under a deadline
    }
    const log = readFileSync(this.#log, 'utf8').split('\n').slice(-40).join('\n');
    throw new Error(`the server ${ended ? 'ended at once' : 'was not ready in time'}\n${log}`);
  }
}

/** A browser for the tests of one file: `const browser = await launch(after)`. */
export async function launch(after) {
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
  after(() => browser.close());
  return browser;
}

/**
 * A visitor with a browser profile of their own, and an empty page in it. What no page may do, fails
 * the test at its end: throw, or break the content security policy.
 */
export async function profile(t, browser, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1100, height: 900 }, ...options });
  context.setDefaultTimeout(WAIT_MS);
  const faults = [];
  context.on('weberror', (error) => faults.push(String(error.error())));
  context.on('console', (message) => {
    if (message.text().includes('Content Security Policy')) faults.push(message.text());
  });
  t.after(async () => {
    await context.close();
    assert.deepEqual(faults, []);
  });
  return context.newPage();
}

/** Waits until the element shows exactly this text (a string), or text like this (a RegExp). */
export async function shows(page, selector, text) {
  const hasText = text instanceof RegExp ? text : new RegExp(`^\\s*${text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}\\s*$`);
  try {
    await page.locator(selector).filter({ hasText, visible: true }).waitFor();
  } catch (error) {
    const now = await page.locator(selector).textContent({ timeout: 1000 }).catch(() => '(no such element)');
    throw new Error(`${selector} does not show ${text}: it shows ${JSON.stringify(now)} on ${page.url()}`, { cause: error });
  }
}

/** Opens the waiting page and waits until it shows a place in line. */
export async function waitInLine(page, server) {
  await page.goto(`${server.url}/rooms/demo`);
  await page.locator('#main[data-phase=waiting]').waitFor();
  await shows(page, '#number', /\d/);
}

/** Opens the waiting page of an empty room and goes on to the booking page at once. */
export async function getLetIn(page, server) {
  await page.goto(`${server.url}/rooms/demo`);
  await page.locator('#go').click();
  await arriveAtBooking(page);
}

/** Waits until the waiting page has moved on to the booking page, ready to choose. */
export async function arriveAtBooking(page) {
  await page.waitForURL('**/book/**');
  await page.locator('#main[data-step=choose]').waitFor();
}

/** Clicks the first free seat and waits until it is held. Answers its label. */
export async function chooseSeat(page) {
  await page.locator('#seats .seat[data-state=free]').first().click();
  await page.locator('#main[data-step=pay]').waitFor();
  return page.locator('#held-seat').textContent();
}

/** Charges what is missing, as the page suggests it, where something is. */
export async function charge(page) {
  const before = await page.locator('#balance').textContent();
  await page.locator('#charge').click();
  await page.locator('#balance').filter({ hasNotText: before }).waitFor();
}

/** Waits for the done page and answers its ids. */
export async function receipt(page) {
  await page.locator('#main[data-step=done]').waitFor();
  return { reservation: await page.locator('#reservation-id').textContent(), payment: await page.locator('#payment-id').textContent() };
}

/** What this browser keeps of room `demo` under `name`. */
export function kept(page, name) {
  return page.evaluate((key) => localStorage.getItem(key), `turnline:demo:${name}`);
}

/** The `position` messages that the page's channels bring, in order, as they come. */
export function positionsHeard(page) {
  const heard = [];
  page.on('websocket', (socket) =>
    socket.on('framereceived', ({ payload }) => {
      const message = JSON.parse(payload.toString());
      if (message.type === 'position') heard.push(message.position);
    }),
  );
  return heard;
}

function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function freePort() {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

/** Ours without the caller's own settings of Turnline. */
function foreignEnv() {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('TURNLINE_')));
}
