// The hospital's clock: it may run faster than ours, and every delta sets it right again.

import { locale, t, twelve } from "./words.js";

let instant = Date.parse(document.documentElement.dataset.now);
let speed = Number(document.documentElement.dataset.speed);
let zone = document.documentElement.dataset.zone || "UTC";
let setAt = performance.now();
let formats = makeFormats();

export function setClock(clock) {
  instant = Date.parse(clock.now);
  speed = clock.speed;
  setAt = performance.now();
  if (clock.time_zone !== zone) {
    zone = clock.time_zone;
    formats = makeFormats();
  }
}

export function now() {
  return instant + (performance.now() - setAt) * speed;
}

export const time = (at) => clock(formats.time.format(at));
export const minute = (at) => clock(formats.minute.format(at));
export const day = (at) => formats.day.format(at).replaceAll(",", "");

// `14:05` as it is, or `2:05 pm` for a reader with a clock of twelve hours.
function clock(text) {
  if (!twelve) return text;
  const hour = Number(text.slice(0, 2));
  return `${hour % 12 || 12}${text.slice(2)} ${hour < 12 ? "am" : "pm"}`;
}

export function span(milliseconds) {
  const minutes = Math.max(0, Math.floor(milliseconds / 60000));
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${String(minutes % 60).padStart(2, "0")}`;
  return t("{days} d {hours} h", { days: Math.floor(hours / 24), hours: hours % 24 });
}

export function silence(milliseconds) {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  return seconds < 60 ? `${seconds} s` : span(milliseconds);
}

function makeFormats() {
  const hour = { timeZone: zone, hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  return {
    time: new Intl.DateTimeFormat("en-GB", { ...hour, second: "2-digit" }),
    minute: new Intl.DateTimeFormat("en-GB", hour),
    day: new Intl.DateTimeFormat(locale, {
      timeZone: zone, weekday: "short", day: "numeric", month: "short", year: "numeric",
    }),
  };
}
