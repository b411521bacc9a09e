// A unit's page follows the hospital too: when its unit changes, its content is fetched again.

import { follow } from "./live.js";
import { t } from "./words.js";

const LINK = { live: t("live"), reconnecting: t("reconnecting") };

const key = document.documentElement.dataset.unit;
let busy = false;
let again = false;

follow({
  onSnapshot: refresh,
  onDelta(delta) {
    if ((delta.units ?? []).some((unit) => unit.key === key)) refresh();
  },
  onState(state) {
    const link = document.getElementById("link");
    if (link.dataset.state === state) return;
    link.dataset.state = state;
    document.getElementById("link-words").textContent = LINK[state] ?? state;
    document.body.classList.toggle("is-stale", state !== "live");
  },
});

async function refresh() {
  if (busy) {
    again = true;
    return;
  }
  busy = true;
  try {
    const answer = await fetch(location.href);
    // A unit that is gone, or that may no longer be seen: the server's page says so.
    if (answer.status >= 400 && answer.status < 500) return location.reload();
    if (!answer.ok) throw new Error(answer.statusText);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of document.querySelectorAll("[data-fresh]")) {
      const other = fresh.querySelector(`[data-fresh="${part.dataset.fresh}"]`);
      if (other && other.innerHTML !== part.innerHTML) part.replaceChildren(...other.childNodes);
    }
  } catch {
    // The stream notices a lost server by itself and asks again.
  } finally {
    busy = false;
    if (again) {
      again = false;
      refresh();
    }
  }
}
