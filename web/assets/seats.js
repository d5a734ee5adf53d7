// The seat map: one button a seat, rows as the labels name them, arrow keys to walk.

import { make, write } from './dom.js';
import { money } from './words.js';

const STATE_WORDS = { free: 'free', held: 'held by somebody', sold: 'sold', mine: 'yours' };

/**
 * Seats in rows: `[{ row, seats: [{ seat, number }] }]`. Labels such as `A12` or `Row B 7` name their row;
 * when not all do, or every seat would be a row of its own, all stand in one unnamed row.
 */
export function rows(seats) {
  const parsed = seats.map((seat) => ({ seat, parts: /^(.*?)[\s.-]*(\d+)$/.exec(seat.label ?? '') }));
  const names = new Set(parsed.map(({ parts }) => parts?.[1]));
  if (names.has(undefined) || names.size > seats.length / 2) {
    return [{ row: '', seats: seats.map((seat) => ({ seat, number: seat.label })) }];
  }
  const found = new Map();
  for (const { seat, parts } of parsed) {
    if (!found.has(parts[1])) found.set(parts[1], []);
    found.get(parts[1]).push({ seat, number: parts[2] });
  }
  const order = new Intl.Collator('en', { numeric: true });
  return [...found]
    .sort(([a], [b]) => order.compare(a, b))
    .map(([row, own]) => ({ row, seats: own.sort((a, b) => Number(a.number) - Number(b.number)) }));
}

export class SeatMap {
  #box;
  #buttons = new Map();
  #drawn = '';

  /** `box`: the element to fill; `choose(seat)`: called for a click on a free seat. */
  constructor(box, choose) {
    this.#box = box;
    box.addEventListener('click', ({ target }) => {
      const entry = this.#buttons.get(target.closest('button')?.dataset.seat);
      if (entry?.seat.state === 'free' && entry.button.dataset.state === 'free') choose(entry.seat);
    });
    box.addEventListener('keydown', (event) => this.#walk(event));
  }

  /** Shows `seats`; the seat `mineId` is the visitor's own. Buttons stay, so focus stays. */
  update(seats, mineId) {
    const drawn = seats.map((seat) => seat.seat_id).join();
    if (drawn !== this.#drawn) this.#draw(seats);
    this.#drawn = drawn;
    for (const seat of seats) {
      const entry = this.#buttons.get(String(seat.seat_id));
      entry.seat = seat;
      const state = seat.seat_id === mineId ? 'mine' : seat.state;
      entry.button.dataset.state = state;
      const price = money(seat.amount_minor, seat.currency);
      // aria-disabled, not disabled: who walks the map by keys hears taken seats as well
      entry.button.setAttribute('aria-disabled', String(state !== 'free' && state !== 'mine'));
      entry.button.setAttribute('aria-pressed', String(state === 'mine'));
      entry.button.setAttribute('aria-label', `Seat ${seat.label}, ${STATE_WORDS[state] ?? state}, ${price}`);
      entry.button.title = `${seat.label} · ${price}`;
    }
  }

  #draw(seats) {
    this.#buttons.clear();
    const layout = rows(seats);
    this.#box.replaceChildren(
      ...layout.map(({ row, seats: own }) => {
        const line = make('div', { class: layout.length === 1 ? 'seat-row wrap' : 'seat-row', role: 'group', 'aria-label': row && `Row ${row}` });
        if (row) line.append(make('b', { 'aria-hidden': 'true' }, row));
        for (const { seat, number } of own) {
          const button = make('button', { type: 'button', class: 'seat', 'data-seat': seat.seat_id, tabindex: '-1' });
          write(button, number);
          this.#buttons.set(String(seat.seat_id), { button, seat });
          line.append(button);
        }
        return line;
      }),
    );
    // One stop for the Tab key; inside, the arrows walk.
    this.#box.querySelector('button')?.setAttribute('tabindex', '0');
  }

  #walk(event) {
    const from = event.target.closest('button.seat');
    if (!from) return;
    const all = [...this.#box.querySelectorAll('button.seat')];
    const line = [...from.parentElement.querySelectorAll('button.seat')];
    const column = line.indexOf(from);
    const beside = (step) => all[all.indexOf(from) + step];
    const across = (sibling) => sibling && [...sibling.querySelectorAll('button.seat')].at(column);
    const to = {
      ArrowRight: () => beside(1),
      ArrowLeft: () => beside(-1),
      ArrowDown: () => across(from.parentElement.nextElementSibling),
      ArrowUp: () => across(from.parentElement.previousElementSibling),
      Home: () => line[0],
      End: () => line.at(-1),
    }[event.key]?.();
    if (!to) return;
    event.preventDefault();
    from.tabIndex = -1;
    to.tabIndex = 0;
    to.focus();
  }
}
