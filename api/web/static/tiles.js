// Fills the tiles and rows of the board. The server renders the same shapes first; here existing
// elements are kept and changed, so that focus, scroll position and selection stay.

import { minute } from "./clock.js";
import { many, number, numeral, said, t } from "./words.js";

const MARKS = { occupied: "\u25cf", free: "\u25cb", dirty: "D", closed: "\u00d7", isolated: "I" };

const STATUS = {
  occupied: t("occupied"), free: t("free"), dirty: t("dirty"), closed: t("closed"),
  isolated: t("isolated"),
};
const FRESHNESS = {
  fresh: t("fresh"), quiet: t("quiet"), silent: t("silent"), idle: t("idle"), never: t("never"),
};

export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// What an element says already is not said again: every write has the page look at its styles.
function put(element, name, value) {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

export const openBeds = (counts) => counts.staffed ?? counts.beds - counts.closed;

// Fills a unit's tile; whether it has another number of beds than before.
export function fillUnit(section, unit) {
  const { counts } = unit;
  const open = openBeds(counts);
  put(section, "data-unit", unit.key);
  put(section, "aria-label", t("Unit {unit}", { unit: unit.unit || t("not named") }));
  const link = section.querySelector("h3 a");
  say(link, unit.unit || t("No unit"));
  put(link, "href", `/units/${unit.key.split("/").map(encodeURIComponent).join("/")}`);
  say(section.querySelector("h3 small"), [unit.site, unit.name].filter(Boolean).join(" "));
  say(section.querySelector(".load strong"), String(counts.occupied));
  say(section.querySelector(".load .of"), `/${open}`);
  const filled = open ? Math.round((100 * counts.occupied) / open) : 0;
  put(section.querySelector(".bar-fill"), "width", String(filled));
  const decided = Boolean(unit.expected_in || unit.expected_out);
  const then = decided && open ? Math.min(99, Math.round((100 * unit.census_expected) / open)) : 0;
  const mark = section.querySelector(".bar-then");
  put(mark, "x", String(then));
  put(mark, "width", decided ? "1" : "0");
  say(section.querySelector(".tally"), tallyWords(unit));
  return fillBeds(section.querySelector(".beds"), unit.beds);
}

export function tallyWords(unit) {
  const { census, counts, without_bed: without } = unit;
  const words = [many(census, "{n} patient", "{n} patients")];
  const add = (value, text) => value && words.push(text);
  add(counts.free, t("{n} free", { n: number(counts.free) }));
  add(counts.dirty, t("{n} dirty", { n: number(counts.dirty) }));
  add(counts.isolated, t("{n} isolated", { n: number(counts.isolated) }));
  add(counts.closed, t("{n} closed", { n: number(counts.closed) }));
  add(counts.on_leave, t("{n} on leave", { n: number(counts.on_leave) }));
  add(without, t("{n} without a bed", { n: number(without) }));
  add(counts.conflicts, t("{n} in conflict", { n: number(counts.conflicts) }));
  if (unit.expected_in || unit.expected_out) words.push(expectedWords(unit));
  return words.join(" \u00b7 ");
}

// What is left of a census once what was decided has been done: of a unit, or of the hospital.
export function expectedWords(place) {
  return t("{come} to come, {leave} to leave, then {then}", {
    come: number(place.expected_in), leave: number(place.expected_out),
    then: number(place.census_expected),
  });
}

function fillBeds(list, beds) {
  const longest = Math.max(0, ...beds.map((bed) => bed.label.length));
  put(list, "class", `beds w${Math.min(12, Math.max(5, longest))}`);
  const before = list.children.length;
  while (list.children.length > beds.length) list.lastElementChild.remove();
  beds.forEach((bed, index) => {
    const tile = list.children[index] ?? list.appendChild(newBed());
    const words = bedWords(bed);
    const classes = bedClass(bed);
    if (tile.className !== classes) tile.className = classes;
    const title = `${bed.label}: ${words}`;
    if (tile.title !== title) tile.title = title;
    say(tile.children[0], bed.label);
    say(tile.children[1], mark(bed));
    say(tile.children[2], words);
  });
  return before !== beds.length;
}

function mark(bed) {
  if (bed.conflict) return "!";
  if (bed.leave) return "L";
  if (bed.leaving) return "\u2197";
  return bed.reserved && bed.status === "free" ? "R" : MARKS[bed.status];
}

function newBed() {
  const tile = document.createElement("li");
  const [label, mark, words] = ["b", "i", "span"].map((name) => document.createElement(name));
  mark.setAttribute("aria-hidden", "true");
  words.className = "unseen";
  tile.append(label, mark, words);
  return tile;
}

function bedClass(bed) {
  const classes = ["bed", bed.status];
  if (bed.conflict) classes.push("conflict");
  for (const flag of ["leave", "leaving", "reserved"]) if (bed[flag]) classes.push(flag);
  if (bed.isolated && bed.status === "occupied") classes.push("isolated");
  return classes.join(" ");
}

function bedWords(bed) {
  const words = [STATUS[bed.status]];
  if (bed.conflict) words.push(t("two patients"));
  if (bed.isolated && bed.status !== "isolated") words.push(t("isolated"));
  if (bed.leave) words.push(t("on leave"));
  if (bed.away) words.push(t("away"));
  if (bed.leaving) words.push(t("expected out"));
  if (bed.reserved) words.push(t("reserved"));
  if (bed.who?.length) words.push(bed.who.join(", "));
  return words.join(", ");
}

export function fillEdRow(row, patient) {
  const [who, arrived, wait, place, boarding] = row.children;
  const link = who.querySelector("a");
  say(link ?? who, patient.who);
  if (link) link.href = `/visits/${patient.key}`;
  say(arrived, patient.arrived_at ? minute(Date.parse(patient.arrived_at)) : "");
  wait.dataset.since = patient.arrived_at ?? "";
  boarding.dataset.since = patient.boards_from ?? "";
  if (patient.bay) {
    say(place, patient.bay);
  } else if (!place.querySelector(".waiting")) {
    const waiting = document.createElement("span");
    waiting.className = "waiting";
    waiting.textContent = t("waiting");
    place.replaceChildren(waiting);
  }
}

export function fillFeedRow(row, feed) {
  const [name, state, last, taken, refused] = row.children;
  name.firstElementChild.className = `dot ${feed.state}`;
  if (name.lastChild.nodeType === Node.TEXT_NODE) say(name.lastChild, feed.feed);
  else name.append(feed.feed);
  say(state, FRESHNESS[feed.state] ?? feed.state);
  last.dataset.heard = feed.last_at ?? "";
  say(taken, number(feed.accepted));
  say(refused, number(feed.rejected));
  refused.classList.toggle("bad", feed.rejected > 0);
}

const UNITS = { patients: t("patients"), days: t("days") };

export function fillCard(item, card) {
  say(item.querySelector(".kpi-value b"), numeral(card.value));
  say(item.querySelector(".kpi-value small"), UNITS[card.unit] ?? card.unit);
  say(item.querySelector(".kpi-note"), said(card.said));
}

// Rows by key, in the order given: kept where they are known, made from a template where not.
export function fillRows(body, template, rows, fill) {
  const known = new Map([...body.children].map((row) => [row.dataset.key, row]));
  rows.forEach((content, index) => {
    const key = content.key ?? content.feed;
    let row = known.get(key);
    known.delete(key);
    if (!row) {
      row = template.content.firstElementChild.cloneNode(true);
      row.dataset.key = key;
    }
    fill(row, content);
    if (body.children[index] !== row) body.insertBefore(row, body.children[index] ?? null);
  });
  for (const row of known.values()) row.remove();
}
