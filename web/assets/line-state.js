// What a visitor knows about the own place, as one pure step: (state, event) -> state.
// Events are the server's messages as they come, answers of the HTTP API, and news of the connection.

/** The state before anything is known. */
export function initialState(room) {
  return {
    room,
    phase: 'joining', // joining | prequeue | waiting | admitted | ended | refused
    number: null,
    position: null,
    ahead: null,
    waiting: null,
    eta: null, // { seconds, low, high }, each may be null
    farthest: null, // the largest `ahead` seen with this ticket: where the progress bar begins
    opensAt: null,
    roomState: null, // open | paused | closed | ...
    notice: null,
    connection: 'connecting', // connecting | live | polling | lost
    joinedAnew: false, // the kept ticket was unknown to the server
    pass: null,
    expiresAt: null,
    goTo: null,
    expiring: false, // the server said that the time is nearly over
    reason: null, // why the ticket ended
    problem: null, // { code, status, detail, retryAfter } of the last refusal
  };
}

/**
 * The next state. An event of a type that is not known changes nothing, so that a newer server
 * may say more than this client understands.
 */
export function reduce(state, event) {
  switch (event.type) {
    case 'position':
      return over(state) ? state : { ...state, ...place(state, event), phase: 'waiting', problem: null };
    case 'prequeue':
      if (over(state)) return state;
      return {
        ...state,
        phase: 'prequeue',
        opensAt: event.opens_at ?? state.opensAt,
        waiting: event.waiting ?? state.waiting,
        position: null,
        ahead: null,
        problem: null,
      };
    case 'admitted':
      return admitted(state, event);
    case 'expiring':
      return state.phase === 'admitted' ? { ...state, expiring: true } : state;
    case 'ended':
      return { ...state, phase: 'ended', reason: event.reason ?? 'left', expiring: false, problem: null };
    case 'room':
      return {
        ...state,
        roomState: event.state ?? state.roomState,
        notice: event.notice ?? null,
        opensAt: event.opens_at ?? state.opensAt,
        waiting: state.waiting ?? event.waiting ?? null,
      };
    case 'error':
      return { ...state, problem: { code: event.code ?? 'unknown' } };
    case 'status': // an answer of the tickets API: the same facts, told by `state`
      return status(state, event);
    case 'connection':
      return { ...state, connection: event.connection };
    case 'refused':
      return { ...state, phase: event.final ? 'refused' : state.phase, problem: event.problem };
    case 'joining':
      return {
        ...initialState(state.room),
        roomState: state.roomState,
        notice: state.notice,
        opensAt: state.opensAt,
        connection: state.connection,
        joinedAnew: event.anew ?? false,
      };
    case 'resumed': // what this browser kept from before a reload
      return { ...state, farthest: event.farthest ?? state.farthest, goTo: event.goTo ?? state.goTo };
    default:
      return state;
  }
}

function status(state, answer) {
  const next = { ...state, number: answer.number ?? state.number, problem: null };
  switch (answer.state) {
    case 'prequeue':
      return reduce(next, { ...answer, type: 'prequeue' });
    case 'waiting':
      return reduce(next, { ...answer, type: 'position' });
    case 'active':
      return answer.pass ? admitted(next, answer) : { ...next, phase: 'admitted' };
    case 'ended':
      return reduce(next, { ...answer, type: 'ended' });
    default:
      return next;
  }
}

function admitted(state, event) {
  if (state.phase === 'ended') return state;
  return {
    ...state,
    phase: 'admitted',
    pass: event.pass ?? state.pass,
    expiresAt: event.expires_at ?? state.expiresAt,
    goTo: event.go_to ?? state.goTo,
    expiring: false,
    position: 0,
    ahead: 0,
    problem: null,
  };
}

function place(state, event) {
  const ahead = event.ahead ?? (event.position == null ? state.ahead : event.position - 1);
  return {
    position: event.position ?? state.position,
    ahead,
    waiting: event.waiting ?? state.waiting,
    farthest: Math.max(state.farthest ?? 0, ahead ?? 0),
    eta: {
      seconds: event.eta_seconds ?? null,
      low: event.eta_low_seconds ?? event.eta_seconds ?? null,
      high: event.eta_high_seconds ?? event.eta_seconds ?? null,
    },
  };
}

/** A late message about the line says nothing to who has left it. */
function over(state) {
  return state.phase === 'ended' || state.phase === 'admitted';
}

/** How much of the way is behind the visitor, 0 to 1. */
export function progress(state) {
  if (state.phase === 'admitted') return 1;
  if (state.ahead == null || !state.farthest) return state.ahead === 0 ? 0.95 : 0;
  // The last step is being called, so the bar is full only then.
  return Math.min(0.95, (state.farthest - state.ahead) / (state.farthest + 1));
}
