// Keeps a board of thousands of beds at rest: changes wait for the frame that paints them, and units
// beside the screen are neither laid out nor painted.

const BUDGET_MS = 8;

// Changes of units: the latest of each, and no more in one frame than leaves time for input.
export function inFrames(apply) {
  const waiting = new Map();
  let due = 0;

  function some() {
    const ends = performance.now() + BUDGET_MS;
    const tiles = [];
    for (const [key, unit] of waiting) {
      waiting.delete(key);
      tiles.push(apply(unit));
      if (performance.now() > ends) break;
    }
    return tiles;
  }

  // Runs `then` with the tiles that were changed, in the next frame and in those after it.
  function ask(then) {
    if (due || !waiting.size) return;
    due = requestAnimationFrame(() => {
      due = 0;
      then(some());
      ask(then);
    });
  }

  // All of it now, as when a snapshot puts the board in order.
  function flush() {
    cancelAnimationFrame(due);
    due = 0;
    const tiles = [...waiting.values()].map(apply);
    waiting.clear();
    return tiles;
  }

  return {
    add: (unit) => waiting.set(unit.key, unit),
    drop: (key) => waiting.delete(key),
    ask,
    flush,
  };
}

// The places of units beside the screen are kept by the sizes that they had, so that nothing moves
// when they come into sight.
export function startSizing(units) {
  let width = 0;
  let due = 0;

  function measure() {
    due = 0;
    const fresh = [...units.children].filter((unit) => !unit.hidden && !unit.classList.contains("sized"));
    if (!fresh.length) return;
    const style = getComputedStyle(fresh[0]);
    const around = ["paddingTop", "paddingBottom", "borderTopWidth", "borderBottomWidth"]
      .reduce((sum, name) => sum + parseFloat(style[name]), 0);
    // Everything is read before anything is written: one layout for all.
    const heights = fresh.map((unit) => unit.getBoundingClientRect().height - around);
    fresh.forEach((unit, place) => {
      if (heights[place] <= 0) return;
      unit.style.containIntrinsicBlockSize = `${heights[place]}px`;
      unit.classList.add("sized");
    });
  }

  function soon() {
    due ||= requestAnimationFrame(measure);
  }

  new ResizeObserver(() => {
    if (units.clientWidth !== width) {
      width = units.clientWidth;
      for (const unit of units.children) unit.classList.remove("sized");
    }
    soon();
  }).observe(units);

  // A unit that has other beds than before is measured again.
  return (unit) => {
    unit.classList.remove("sized");
    soon();
  };
}
