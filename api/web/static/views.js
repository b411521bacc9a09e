// Named views: an address with everything that was asked for, kept in this browser under a name.

import { t } from "./words.js";

const KEPT = "wardtwin-views";
const place = document.getElementById("views");
const list = place.querySelector("ul");
const form = place.querySelector("form");

function kept() {
  try {
    const views = JSON.parse(localStorage.getItem(KEPT) ?? "[]");
    return views.filter((view) => typeof view.name === "string" && view.href?.startsWith("/"));
  } catch {
    return [];
  }
}

function keep(views) {
  localStorage.setItem(KEPT, JSON.stringify(views));
  show(views);
}

function show(views) {
  list.replaceChildren(...views.map((view) => {
    const item = document.createElement("li");
    const link = document.createElement("a");
    const gone = document.createElement("button");
    link.href = view.href;
    link.textContent = view.name;
    gone.type = "button";
    gone.textContent = "\u00d7";
    gone.setAttribute("aria-label", t("Forget the view {name}", { name: view.name }));
    gone.addEventListener("click", () => {
      keep(kept().filter((one) => one.name !== view.name));
      form.elements.name.focus();
    });
    item.append(link, gone);
    return item;
  }));
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const name = form.elements.name.value.trim();
  if (!name) return;
  const href = location.pathname + location.search;
  keep([...kept().filter((one) => one.name !== name), { name, href }]);
  form.reset();
});

addEventListener("storage", () => show(kept()));
show(kept());
place.hidden = false;
