// The slider over all history, and playing it: every position is an address of this page.

import { locale, t, twelve } from "./words.js";

const STEP_S = 900;
const GRID_S = 300;
const PACE_MS = 700;
const at = (id) => document.getElementById(id);
const form = at("times");
const first = Math.ceil(Date.parse(form.dataset.first) / 1000);
const last = Math.floor(Date.parse(form.dataset.last) / 1000);
const zone = form.dataset.zone;
const slider = at("moment");
const words = new Intl.DateTimeFormat(locale, {
  timeZone: zone, weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit",
  hourCycle: twelve ? "h12" : "h23",
});
let playing = 0;
let busy = false;
let wanted = null;

const asked = new URL(location.href).searchParams.get("at");
// It stands at round five minutes, and its ends are where history begins and ends.
slider.step = String(GRID_S);
slider.min = String(Math.floor(first / GRID_S) * GRID_S);
slider.max = String(Math.ceil(last / GRID_S) * GRID_S);
slider.value = String(asked ? Math.floor(shown() / 1000) : last);
at("slider").hidden = last <= first;
say(asked ? shown() / 1000 : last);

slider.addEventListener("input", () => { say(); show(); });
at("play").addEventListener("click", () => (playing ? stop() : play()));

function shown() {
  return Date.parse(document.querySelector("[data-fresh]").dataset.at);
}

function chosen() {
  return Math.min(last, Math.max(first, Number(slider.value)));
}

function say(seconds = chosen()) {
  const text = words.format(seconds * 1000);
  at("moment-words").textContent = text;
  slider.setAttribute("aria-valuetext", text);
}

function play() {
  if (chosen() >= last) slider.value = slider.min;
  at("play").textContent = t("Stop");
  at("play").setAttribute("aria-pressed", "true");
  playing = setInterval(() => {
    if (busy) return;
    if (chosen() >= last) return stop();
    slider.value = String(Number(slider.value) + STEP_S);
    say();
    show();
  }, PACE_MS);
}

function stop() {
  clearInterval(playing);
  playing = 0;
  at("play").textContent = t("Play");
  at("play").setAttribute("aria-pressed", "false");
}

// One request at a time; what the slider says meanwhile is asked next.
async function show() {
  const address = new URL(location.href);
  address.searchParams.set("at", new Date(chosen() * 1000).toISOString());
  if (busy) {
    wanted = address;
    return;
  }
  busy = true;
  try {
    const answer = await fetch(address);
    if (!answer.ok) throw new Error(answer.statusText);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    document.querySelector("[data-fresh]").replaceWith(page.querySelector("[data-fresh]"));
    at("at").value = page.getElementById("at").value;
    document.title = page.title;
    history.replaceState(null, "", address);
  } catch {
    stop();
    at("moment-words").textContent = t("The server does not answer.");
  } finally {
    busy = false;
    if (wanted) {
      wanted = null;
      show();
    }
  }
}
