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

export function startFinding() {
  const form = at("find");
  form.hidden = false;
  form.elements.find.value = asked.get("find") ?? "";
  form.elements.show.value = asked.get("show") ?? "";
  form.addEventListener("input", () => {
    remember(form);
    find();
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  find();
}

let wasNarrowed = false;

// Called again after every change of the board: new tiles are judged like the old ones. Where
// nothing is asked for, everything is shown already, and a large board keeps its time for input.
export function find() {
  const { find: words, show } = at("find").elements;
  const wanted = words.value.trim().toLowerCase();
  const fits = SHOWN[show.value] ?? (() => true);
  const narrowed = Boolean(wanted || show.value);
  if (!narrowed && !wasNarrowed) return;
  wasNarrowed = narrowed;
  let beds = 0;
  let units = 0;
  for (const unit of at("units").children) {
    const named = unit.querySelector("h3").textContent.toLowerCase().includes(wanted);
    let here = 0;
    for (const bed of unit.querySelectorAll("li.bed")) {
      bed.hidden = !(fits(bed.classList) && (named || bed.title.toLowerCase().includes(wanted)));
      if (!bed.hidden) here += 1;
    }
    unit.hidden = narrowed && here === 0 && !(named && !show.value);
    beds += here;
    if (!unit.hidden) units += 1;
  }
  for (const row of at("ed").children) {
    row.hidden = !row.textContent.toLowerCase().includes(wanted);
  }
  const found = { beds: many(beds, "{n} bed", "{n} beds"), units: many(units, "{n} unit", "{n} units") };
  const said = narrowed ? t("{beds} in {units}", found) : "";
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
