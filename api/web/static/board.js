// The board: what the stream says, onto the page.

import { inFrames, startSizing } from "./calm.js";
import { day, now, setClock, silence, span, time } from "./clock.js";
import { forgetUnit, judgePatients, judgeUnits, startFinding } from "./find.js";
import { follow } from "./live.js";
import {
  expectedWords, fillCard, fillEdRow, fillFeedRow, fillRows, fillUnit, openBeds, say,
} from "./tiles.js";
import { locale, number, t } from "./words.js";

const LONG_WAIT_MS = 4 * 3600 * 1000;
const at = (id) => document.getElementById(id);
const units = at("units");
const tiles = new Map([...units.children].map((tile) => [tile.dataset.unit, tile]));
const changes = inFrames(showUnit);
const resized = startSizing(units);
let staleSince = null;

follow({
  onSnapshot(board) {
    // A new version may have other pages than the one that is open.
    if (board.version !== document.documentElement.dataset.version) return location.reload();
    const present = new Set(board.units.map((unit) => unit.key));
    removeUnits([...tiles.keys()].filter((key) => !present.has(key)));
    apply(board);
    judgeUnits(changes.flush());
    // Only what is out of place is moved: moving every tile lays the whole board out again.
    board.units.forEach((unit, place) => {
      const tile = tiles.get(unit.key);
      if (units.children[place] !== tile) units.insertBefore(tile, units.children[place]);
    });
  },
  onDelta(delta) {
    removeUnits(delta.removed ?? []);
    apply(delta);
    changes.ask(judgeUnits);
  },
  onState: showLink,
});

startFinding();
setInterval(tick, 1000);
tick();

function apply(change) {
  setClock(change.clock);
  for (const unit of change.units ?? []) changes.add(unit);
  if (change.ed) {
    fillRows(at("ed"), at("ed-template"), change.ed, fillEdRow);
    judgePatients();
  }
  if (change.feeds) fillRows(at("feeds"), at("feed-template"), change.feeds, fillFeedRow);
  for (const card of change.kpis ?? []) {
    const item = document.querySelector(`[data-kpi="${CSS.escape(card.kpi_id)}"]`);
    if (item) fillCard(item, card);
  }
  if (change.totals) showTotals(change.totals);
  at("no-units").hidden = tiles.size > 0 || Boolean(change.units?.length);
  at("no-ed").hidden = at("ed").children.length > 0;
  at("no-feeds").hidden = at("feeds").children.length > 0;
  if (change.ed || change.feeds) tick();
}

function showUnit(unit) {
  let tile = tiles.get(unit.key);
  if (!tile) {
    tile = at("unit-template").content.firstElementChild.cloneNode(true);
    tiles.set(unit.key, tile);
    const next = [...tiles.keys()].sort(byName).find((key) => byName(key, unit.key) > 0);
    units.insertBefore(tile, next ? tiles.get(next) : null);
  }
  if (fillUnit(tile, unit)) resized(tile);
  return tile;
}

function removeUnits(keys) {
  for (const key of keys) {
    changes.drop(key);
    forgetUnit(tiles.get(key));
    tiles.get(key)?.remove();
    tiles.delete(key);
  }
}

const byName = new Intl.Collator(locale, { numeric: true }).compare;

function showTotals(totals) {
  const { beds } = totals;
  const words = [t("{census} patients, {open} open beds, {free} free", {
    census: number(totals.census), open: number(openBeds(beds)), free: number(beds.free),
  })];
  if (totals.expected_in || totals.expected_out) words.push(expectedWords(totals));
  say(at("units-total"), words.join(" \u00b7 "));
  const here = { here: number(totals.ed), waiting: number(totals.ed_waiting) };
  const boarding = totals.ed_boarding ? t("{n} boarding", { n: number(totals.ed_boarding) }) : "";
  say(at("ed-total"), [t("{here} here, {waiting} waiting", here), boarding].filter(Boolean).join(", "));
  say(at("quarantined"), number(totals.quarantined));
  at("quarantined").classList.toggle("bad", totals.quarantined > 0);
  say(at("rejected"), number(totals.rejected));
  say(at("lag"), `${number(totals.lag_seconds)} s`);
}

function showLink(state) {
  const live = state === "live";
  if (live === (at("link").dataset.state === "live")) return;
  staleSince = live ? null : now();
  at("link").dataset.state = state;
  document.body.classList.toggle("is-stale", !live);
  say(at("link-words"), live ? t("live") : t("reconnecting, stale since {time}", { time: time(staleSince) }));
  at("stale").hidden = live;
  if (!live) {
    say(at("stale"), t("The connection was lost. What is shown is the hospital at {time}; it is brought up to date as soon as the server answers.", { time: time(staleSince) }));
  }
}

function tick() {
  const instant = staleSince ?? now();
  say(at("clock"), time(instant));
  at("clock").dateTime = new Date(instant).toISOString();
  say(at("day"), day(instant));
  for (const cell of document.querySelectorAll("[data-since]")) {
    const waited = cell.dataset.since ? instant - Date.parse(cell.dataset.since) : null;
    say(cell, waited === null ? "" : span(waited));
    cell.classList.toggle("long", waited !== null && waited >= LONG_WAIT_MS);
  }
  for (const cell of document.querySelectorAll("[data-heard]")) {
    say(cell, cell.dataset.heard ? silence(instant - Date.parse(cell.dataset.heard)) : "");
  }
}
