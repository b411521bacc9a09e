// Finds units, beds and visits on the board, and keeps what was asked for in the address.

import { many, t } from "./words.js";

const at = (id) => document.getElementById(id);
const asked = new URL(location.href).searchParams;

// What a choice shows, by the classes of a bed's tile.
const SHOWN = {
  free: (bed) => bed.contains("free") && !bed.contains("reserved"),
  reserved: (bed) => bed.contains("reserved"),
  out: (bed) => bed.contains("leaving"),
  dirty: (bed) => bed.contains("dirty"),
  closed: (bed) => bed.contains("closed"),
  isolated: (bed) => bed.contains("isolated"),
  conflict: (bed) => bed.contains("conflict"),
};

// How many beds each unit shows; a unit that is not shown has none here.
const found = new Map();
let wanted = { words: "", show: "", narrowed: false };

export function startFinding() {
  const form = at("find");
  form.hidden = false;
  form.elements.find.value = asked.get("find") ?? "";
  form.elements.show.value = asked.get("show") ?? "";
  let due = 0;
  form.addEventListener("input", () => {
    remember(form);
    // Keys that come faster than frames are looked for together.
    due ||= requestAnimationFrame(() => {
      due = 0;
      findAll();
    });
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  findAll();
}

// After a change of the board only what it is about is judged again. Where nothing is asked for,
// everything is shown already.
export function judgeUnits(units) {
  if (!wanted.narrowed) return;
  for (const unit of units) judge(unit);
  tellFound();
}

export function forgetUnit(unit) {
  found.delete(unit);
}

export function judgePatients() {
  if (!wanted.narrowed) return;
  for (const row of at("ed").children) hide(row, !row.textContent.toLowerCase().includes(wanted.words));
}

function findAll() {
  const { find: words, show } = at("find").elements;
  const before = wanted;
  wanted = { words: words.value.trim().toLowerCase(), show: show.value };
  wanted.narrowed = Boolean(wanted.words || wanted.show);
  if (wanted.narrowed || before.narrowed) {
    for (const unit of at("units").children) judge(unit);
    for (const row of at("ed").children) hide(row, !row.textContent.toLowerCase().includes(wanted.words));
  }
  tellFound();
}

function judge(unit) {
  const { words, show, narrowed } = wanted;
  const fits = SHOWN[show] ?? (() => true);
  const named = unit.querySelector("h3").textContent.toLowerCase().includes(words);
  let here = 0;
  for (const bed of unit.querySelector(".beds").children) {
    const shown = fits(bed.classList) && (named || bed.title.toLowerCase().includes(words));
    hide(bed, !shown);
    if (shown) here += 1;
  }
  const shown = !narrowed || here > 0 || (named && !show);
  hide(unit, !shown);
  if (shown) found.set(unit, here);
  else found.delete(unit);
}

function hide(element, hidden) {
  if (element.hidden !== hidden) element.hidden = hidden;
}

function tellFound() {
  let beds = 0;
  for (const here of found.values()) beds += here;
  const told = { beds: many(beds, "{n} bed", "{n} beds"), units: many(found.size, "{n} unit", "{n} units") };
  const said = wanted.narrowed ? t("{beds} in {units}", told) : "";
  if (at("found").textContent !== said) at("found").textContent = said;
}

function remember(form) {
  const address = new URL(location.href);
  for (const name of ["find", "show"]) {
    const value = form.elements[name].value;
    if (value) address.searchParams.set(name, value);
    else address.searchParams.delete(name);
  }
  history.replaceState(null, "", address);
}
