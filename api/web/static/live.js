// The stream of changes. A snapshot comes first; a delta applies only to the sequence it names.
// Anything else (a gap, a broken connection, silence, a restarted server) means: connect again,
// which brings a fresh snapshot.

const RETRY_MS = 500;
const SILENCE_MS = 15000;

export function follow({ onSnapshot, onDelta, onState }) {
  let source = null;
  let sequence = null;
  let heardAt = performance.now();
  let retry = 0;
  let lost = false;

  function connect() {
    clearTimeout(retry);
    retry = 0;
    source?.close();
    sequence = null;
    heardAt = performance.now();
    source = new EventSource("/v1/deltas");
    source.addEventListener("snapshot", (event) => {
      const board = JSON.parse(event.data);
      sequence = board.sequence;
      heard();
      onSnapshot(board);
    });
    source.addEventListener("delta", (event) => {
      const delta = JSON.parse(event.data);
      if (delta.previous !== sequence) return connect();
      sequence = delta.sequence;
      heard();
      onDelta(delta);
    });
    source.addEventListener("refetch", connect);
    source.onerror = again;
  }

  function again() {
    source?.close();
    if (!lost) {
      lost = true;
      onState("reconnecting");
    }
    // Our own timer, because a browser gives up for good after some kinds of failure.
    if (!retry) retry = setTimeout(connect, RETRY_MS);
  }

  function heard() {
    heardAt = performance.now();
    lost = false;
    onState("live");
  }

  setInterval(() => {
    if (performance.now() - heardAt > SILENCE_MS) again();
  }, 1000);
  // A page that was frozen in the background may have missed anything.
  addEventListener("pageshow", (event) => event.persisted && connect());
  connect();
}
