// A room's policy as form fields, and back: what is left empty is left out.

import { make } from './dom.js';

const NUMBERS = [
  ['capacity', 'Capacity (visitors inside)', true],
  ['admit_per_minute', 'Admit a minute, at most', false],
  ['active_seconds', 'Time inside, seconds', true],
  ['max_session_seconds', 'Time inside with renewals, seconds', true],
  ['claim_seconds', 'Time to claim a turn, seconds', true],
  ['grace_seconds', 'Grace when away, seconds', true],
  ['max_waiting', 'Waiting, at most', false],
];
const TEXTS = [
  ['opens_at', 'Opens at (RFC 3339)'],
  ['closes_at', 'Closes at (RFC 3339)'],
  ['go_to', 'Where admitted visitors go'],
];

/** The fields of `policy`, as elements. */
export function fields(policy) {
  const numbers = NUMBERS.map(([name, label, required]) =>
    make('label', {}, label, make('input', { name, type: 'number', min: '0', step: '1', required, value: policy[name] })),
  );
  const order = make('select', { name: 'prequeue' });
  for (const [value, label] of [['fifo', 'By arrival'], ['lottery', 'By lottery']]) {
    order.append(make('option', { value, selected: policy.prequeue === value }, label));
  }
  const texts = TEXTS.map(([name, label]) => make('label', {}, label, make('input', { name, value: policy[name] })));
  const lanes = make('input', { name: 'lanes', value: lanesText(policy.lanes), placeholder: 'default:1, members:3' });
  const key = make('input', { name: 'visitor_key', type: 'password', autocomplete: 'off', placeholder: 'unchanged' });
  return [
    ...numbers,
    make('label', {}, 'Who came before opening', order),
    ...texts,
    make('label', {}, 'Lanes (name:weight)', lanes),
    make('label', {}, 'Visitor key (never shown)', key),
  ];
}

export function formValues(form) {
  return Object.fromEntries(new FormData(form));
}

/** The policy to PUT: `before` with what the form says; what the form does not know stays. */
export function change(before, values) {
  const policy = Object.fromEntries(Object.entries(before).filter(([, value]) => value !== null));
  for (const [name] of NUMBERS) assign(policy, name, values[name] === '' ? null : Number(values[name]));
  for (const [name] of TEXTS) assign(policy, name, values[name].trim() || null);
  policy.prequeue = values.prequeue;
  assign(policy, 'lanes', parseLanes(values.lanes));
  // Absent keeps the key that is there.
  delete policy.visitor_key;
  if (values.visitor_key) policy.visitor_key = values.visitor_key;
  return policy;
}

function assign(policy, name, value) {
  if (value === null) delete policy[name];
  else policy[name] = value;
}

export function lanesText(lanes) {
  return (lanes ?? []).map(({ name, weight }) => `${name}:${weight}`).join(', ');
}

/** `a:1, b:3` as lanes; null for none. A weight that is no number is left for the server to refuse. */
export function parseLanes(text) {
  const parts = text.split(',').map((part) => part.trim()).filter(Boolean);
  if (parts.length === 0) return null;
  return parts.map((part) => {
    const [name, weight = '1'] = part.split(':').map((word) => word.trim());
    return { name, weight: Number(weight) };
  });
}
